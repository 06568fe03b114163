"""What comes of builds: files, other media types and compressions, names elsewhere; contexts that nodes fetch."""

import io
import json
import tarfile
from pathlib import Path

import pytest

from cli.images.push import push
from cli.playground.registry_server import RegistryAccess
from shoal.api.v1.builds_pb2 import BuildStart, RegistryCredentials
from shoal.distribution.registries import Registries
from shoal.distribution.registry_client import Distribution
from shoal.image_reference import parse
from tests.integration.build.build_rig import Rig, files_of, play, tar_of
from tests.integration.build.test_adds import git_daemon, web
from tests.integration.images.rig import ignore
from tests.integration.registry_fixture import make_htpasswd, running_registry

SMALL = "FROM $BASE\nRUN echo made > /made && rm /etc/group\n"


async def manifest_of(rig: Rig, digest: str) -> dict[str, object]:
    async with Distribution(Registries()) as distribution:
        raw = await distribution.repository(parse(rig.repository)).manifest(digest)
        found: dict[str, object] = json.loads(raw.content)
        return found


def test_files_of_a_result_come_back_and_nothing_is_published(tmp_path: Path) -> None:
    async def scenario(rig: Rig) -> None:
        end = await rig.build(SMALL, output=BuildStart.FILES)
        assert end.error is None and not end.published
        data = b"".join(each.file_data for each in end.outputs if each.HasField("file_data"))
        with tarfile.open(fileobj=io.BytesIO(data)) as tar:
            names = {name.strip("/") for name in tar.getnames()}
        assert {"made", "bin/busybox", "etc/passwd"} <= names and "etc/group" not in names

    play(tmp_path, scenario)


@pytest.mark.parametrize("kind", [BuildStart.DOCKER_ARCHIVE, BuildStart.OCI_ARCHIVE])
def test_an_archive_of_the_image_comes_back(tmp_path: Path, kind: "BuildStart.Output.ValueType") -> None:
    async def scenario(rig: Rig) -> None:
        end = await rig.build(SMALL, output=kind, names=["docker.io/library/web:1"])
        assert end.error is None and not end.published
        data = b"".join(each.file_data for each in end.outputs if each.HasField("file_data"))
        with tarfile.open(fileobj=io.BytesIO(data)) as tar:
            listed = json.load(tar.extractfile("manifest.json") or io.BytesIO())
            index = json.load(tar.extractfile("index.json") or io.BytesIO())
        assert listed[0]["RepoTags"] == ["web:1"] and len(listed[0]["Layers"]) == 2
        result = end.outputs[-1].result
        assert index["manifests"][0]["digest"] == result.digest
        assert listed[0]["Config"].endswith(result.image_id.removeprefix("sha256:"))

    play(tmp_path, scenario)


def test_kinds_of_manifests_and_compressions(tmp_path: Path) -> None:
    async def scenario(rig: Rig) -> None:
        plain = await manifest_of(rig, (await rig.build("FROM scratch\nCOPY f /\n", {"f": "1"})).published)
        assert plain["mediaType"] == "application/vnd.docker.distribution.manifest.v2+json"
        oci = await rig.build("FROM scratch\nCOPY f /\n", {"f": "1"}, media_types="oci")
        assert (await manifest_of(rig, oci.published))["mediaType"] == "application/vnd.oci.image.manifest.v1+json"
        packed = await rig.build("FROM scratch\nCOPY f /\n", {"f": "2"}, compression="zstd", compression_level=9)
        document = json.dumps(await manifest_of(rig, packed.published))
        assert "layer.v1.tar+zstd" in document and "oci.image.manifest" in document
        assert files_of(await rig.pull(packed.published))["f"][1] == b"2"

    play(tmp_path, scenario)


def test_the_same_moment_gives_the_same_image_on_two_nodes(tmp_path: Path) -> None:
    async def scenario(rig: Rig) -> None:
        text = "FROM $BASE\nRUN mkdir /d && echo x > /d/f && ln -s f /d/l\nCOPY a /new/a\nWORKDIR /w\n"
        ends = [
            await rig.build(text, {"a": "1"}, no_cache=True, source_date_epoch=1_600_000_000),
            await rig.build(text, {"a": "1"}, no_cache=True, build_args={"SOURCE_DATE_EPOCH": "1600000000"}),
        ]
        assert [end.error for end in ends] == [None, None] and ends[0].published == ends[1].published
        image = await rig.pull(ends[0].published)
        assert max(path.lstat().st_mtime for layer in image.layers[:-1] for path in layer.rglob("*")) == 1_600_000_000

    play(tmp_path, scenario)


def test_names_elsewhere_and_images_that_need_the_users_credentials(tmp_path: Path) -> None:
    async def scenario(rig: Rig) -> None:
        security = make_htpasswd(tmp_path / "htpasswd", "ann", "secret")
        async with running_registry(tmp_path / "private", security=RegistryAccess(htpasswd=security)) as private:
            domain = f"127.0.0.1:{private.port}"
            logins = Registries().with_login(domain, "ann", "secret")
            await push(tmp_path / "image.tar", f"{domain}/mine/box:1", logins, ignore)
            credentials = {domain: RegistryCredentials(username="ann", password="secret")}
            text = f"FROM {domain}/mine/box:1\nRUN echo private > /p\n"
            assert (await rig.build(text)).error is not None
            end = await rig.build(text, credentials=credentials, push=[f"{domain}/mine/result:2"])
            assert end.error is None, end.error
            async with Distribution(logins) as distribution:
                pushed = parse(f"{domain}/mine/result:2")
                assert await distribution.repository(pushed).manifest_digest("2") == end.published

    play(tmp_path, scenario)


def test_contexts_that_the_node_fetches(tmp_path: Path) -> None:
    async def scenario(rig: Rig) -> None:
        with git_daemon(tmp_path / "git") as (address, _):
            end = await rig.build("FROM scratch\nCOPY sub /s\n", remote_context=address)
            assert end.error is None, end.error
            assert files_of(await rig.pull(end.published))["s/file"][1] == b"of git\n"
        directory = tmp_path / "web"
        directory.mkdir()
        (directory / "context.tar").write_bytes(tar_of({"Dockerfile": "FROM scratch\nCOPY f /\n", "f": "1"}))
        (directory / "file").write_text("FROM scratch\nCOPY <<E /e\ninline\nE\n")
        with web(directory) as url:
            for name, path in (("context.tar", "f"), ("file", "e")):
                end = await rig.run(BuildStart(remote_context=f"{url}/{name}"), [])
                assert end.error is None, end.error
                assert path in files_of(await rig.pull(end.published))

    play(tmp_path, scenario)
