"""`shoal pull`, `push`, `images`, `save`, `load`, `import`, `login` and the others about images, as users call them."""

import asyncio
import gzip
import json
import os
import stat
import tarfile
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from cli.images.push import push
from cli.playground.registry_server import RegistryAccess
from shoal.distribution.registries import Registries
from shoal.distribution.registry_client import Distribution
from shoal.image_reference import parse
from tests.integration.images.image_commands_rig import CommandRig, command_rig
from tests.integration.images.image_repository_rig import docker_archive, two_platforms
from tests.integration.images.rig import entry, ignore, settings, small_archive, tar_of
from tests.integration.registry_fixture import make_htpasswd, running_registry


def play(directory: Path, scenario: Callable[[CommandRig, str], Awaitable[None]]) -> None:
    """Run a scenario with a cluster and the domain of another registry."""

    async def run() -> None:
        async with command_rig(directory) as rig, running_registry(directory / "source") as source:
            await scenario(rig, f"127.0.0.1:{source.port}")

    asyncio.run(run())


def test_an_image_is_pulled_listed_named_and_removed(tmp_path: Path) -> None:
    async def scenario(rig: CommandRig, source: str) -> None:
        pushed = await push(small_archive(tmp_path), f"{source}/team/small:1", Registries(), ignore)
        done = await rig.good("pull", f"{source}/team/small:1")
        assert done.lines == [
            f"Digest: {pushed.digest}",
            f"Status: Downloaded newer image for {source}/team/small:1",
            f"{source}/team/small:1",
        ]
        assert done.errors.count("Pull complete") == 2  # of its layers
        again = await rig.good("pull", f"{source}/team/small:1")
        assert "Status: Image is up to date for" in again.text
        assert again.errors.count("Already exists") == 2
        listed = (await rig.good("images")).lines
        assert listed[0].split() == ["REPOSITORY", "TAG", "IMAGE", "ID", "CREATED", "SIZE"]
        repository, tag, image_id = listed[1].split()[:3]
        assert (repository, tag, len(image_id)) == (f"{source}/team/small", "1", 12)
        await rig.good("tag", image_id, "web")
        assert (await rig.good("images", "-q")).lines == [image_id]
        form = "{{.Repository}}:{{.Tag}} {{.ID}} {{.Digest}}"
        assert (await rig.good("images", "--format", form, "web")).lines == [f"web:latest {image_id} {pushed.digest}"]
        assert (await rig.good("images", "--filter", "dangling=true", "-q")).lines == []
        assert "sha256:" in (await rig.good("image", "ls", "--digests", "--no-trunc")).text
        several = await rig.run("rmi", image_id)
        assert (several.code, "has several names" in several.errors) == (1, True)
        assert (await rig.good("rmi", f"{source}/team/small:1")).lines == [f"Untagged: {source}/team/small:1"]
        last = (await rig.good("rmi", "web")).lines
        assert last[0] == "Untagged: web:latest" and last[1].startswith("Deleted: sha256:")
        absent = await rig.run("rmi", "web")
        assert absent.errors == "error: No such image: web:latest\n"
        async with Distribution(Registries()) as distribution:
            pool = distribution.repository(parse(f"{rig.registry}/shoal/pool:x"))
            assert await pool.tags() == []

    play(tmp_path, scenario)


def test_all_tags_are_pulled_and_pushed(tmp_path: Path) -> None:
    async def scenario(rig: CommandRig, source: str) -> None:
        for tag in ("1", "2"):
            archive = small_archive(tmp_path, tag, tag.encode())
            await push(archive, f"{source}/small:{tag}", Registries(), ignore)
        done = await rig.good("pull", "-q", "--all-tags", f"{source}/small")
        assert done.lines == [f"{source}/small:1", f"{source}/small:2"]
        assert done.errors == ""
        for tag in ("1", "2"):
            await rig.good("tag", f"{source}/small:{tag}", f"{source}/copy:{tag}")
        pushed = (await rig.good("push", "--all-tags", f"{source}/copy")).lines
        assert [line.partition(" size: ")[0].partition(": digest: ")[0] for line in pushed] == ["1", "2"]
        bad = await rig.run("pull", "--all-tags", f"{source}/small:1")
        assert bad.code == 2

    play(tmp_path, scenario)


def test_one_platform_or_all(tmp_path: Path) -> None:
    async def scenario(rig: CommandRig, source: str) -> None:
        two_platforms(tmp_path / "two.tar")
        await push(tmp_path / "two.tar", f"{source}/two:1", Registries(), ignore)
        await rig.good("pull", f"{source}/two:1")
        found = json.loads((await rig.good("image", "inspect", "--format", "json", f"{source}/two:1")).text)
        assert found[0]["Platforms"] == ["linux/amd64", "linux/arm64/v8"]
        amd64 = found[0]["Size"]
        await rig.good("pull", "--platform", "linux/arm64", f"{source}/two:1")
        found = json.loads((await rig.good("image", "inspect", "--format", "json", f"{source}/two:1")).text)
        assert found[0]["Architecture"] == "arm64"
        assert len((await rig.good("images", "--filter", "dangling=true", "-q")).lines) == 1
        pruned = (await rig.good("image", "prune", "--force")).lines
        assert pruned[0] == "Deleted Images:"
        assert pruned[-1] == f"Total reclaimed space: {amd64}B", "the other platform is still needed"
        absent = await rig.run("pull", "--platform", "linux/riscv64", f"{source}/two:1")
        assert "no manifest for platform linux/riscv64; available: linux/amd64, linux/arm64/v8" in absent.errors

    play(tmp_path, scenario)


def test_saved_images_are_loaded_again(tmp_path: Path) -> None:
    async def scenario(rig: CommandRig, source: str) -> None:
        await push(small_archive(tmp_path), f"{source}/small:1", Registries(), ignore)
        await rig.good("pull", "-q", f"{source}/small:1")
        await rig.good("tag", f"{source}/small:1", "web:1")
        await rig.good("save", "-o", str(tmp_path / "web.tar"), "web:1")
        piped = (await rig.good("save", "web:1")).output
        assert piped == (tmp_path / "web.tar").read_bytes()
        with tarfile.open(tmp_path / "web.tar") as tar:
            assert {"index.json", "manifest.json", "oci-layout"} <= set(tar.getnames())
        await rig.good("rmi", "web:1", f"{source}/small:1")
        assert (await rig.good("load", "-q", stdin=gzip.compress(piped))).lines == ["Loaded image: web:1"]
        assert (await rig.good("load", "--input", str(tmp_path / "web.tar"))).lines == ["Loaded image: web:1"]
        absent = await rig.run("save", "-o", str(tmp_path / "none.tar"), "none:1")
        assert absent.errors == "error: No such image: none:1\n"
        assert not list(tmp_path.glob("*none*"))

    play(tmp_path, scenario)


def test_what_docker_saved_is_loaded_and_has_a_history(tmp_path: Path) -> None:
    async def scenario(rig: CommandRig, _: str) -> None:
        config = docker_archive(tmp_path / "d.tar", [tar_of([entry("a")]), tar_of([entry("b")])], ["web:1", "web:2"])
        done = await rig.good("load", "-i", str(tmp_path / "d.tar"))
        assert done.lines == ["Loaded image: web:1", "Loaded image: web:2"]
        shown = (await rig.good("history", "--no-trunc", "web:1")).lines
        assert shown[0].split() == ["IMAGE", "CREATED", "CREATED", "BY", "SIZE", "COMMENT"]
        assert shown[1].startswith(config) and shown[2].startswith("<missing>")
        assert (await rig.good("history", "-q", "web:1")).lines == [config[7:19], "<missing>"]
        assert (await rig.good("image", "inspect", "--format", "{{.Id}} {{.RepoTags}}", "web:1")).lines == [
            f"{config} [web:1 web:2]"
        ]
        assert "Cmd:" in (await rig.good("image", "inspect", "web:1")).text

    play(tmp_path, scenario)


def test_a_root_file_system_is_imported(tmp_path: Path) -> None:
    async def scenario(rig: CommandRig, _: str) -> None:
        content = tar_of([entry("etc/motd", b"hello")])
        change = ("--change", 'CMD ["/bin/sh"]', "--change", "ENV A=1", "--message", "made by hand")
        (identifier,) = (await rig.good("import", *change, "-", "mine:1", stdin=content)).lines
        found = json.loads((await rig.good("image", "inspect", "--format", "json", "mine:1")).text)[0]
        assert (found["Id"], found["Comment"]) == (identifier, "made by hand")
        assert found["Config"] == {"Cmd": ["/bin/sh"], "Env": ["A=1"]}
        bad = await rig.run("import", "-", "bad:1", stdin=tar_of([entry("../etc/passwd")]))
        assert (bad.code, bad.errors) == (2, "error: -: the archive has names that lead out of it: '../etc/passwd'\n")
        url = await rig.run("import", "https://example.org/x.tar")
        assert "importing from a URL is not supported" in url.errors
        wrong = await rig.run("import", "--change", "RUN x", "-", "bad:1", stdin=content)
        assert wrong.errors.startswith("error: --change: unknown or unsupported instruction 'RUN'")

    play(tmp_path, scenario)


def test_a_private_registry_needs_a_login_that_docker_shares(tmp_path: Path) -> None:
    async def scenario(rig: CommandRig, _: str) -> None:
        password = tmp_path / "password"
        password.write_text("secret\n")
        password.chmod(0o600)
        security = RegistryAccess(htpasswd=make_htpasswd(tmp_path / "htpasswd", "ann", "secret"))
        async with running_registry(tmp_path / "private", security=security) as server:
            domain = f"127.0.0.1:{server.port}"
            known = settings(domain, f"http://{domain}", login=("ann", password))
            await push(small_archive(tmp_path), f"{domain}/small:1", known, ignore)
            refused = await rig.run("pull", f"{domain}/small:1")
            assert (refused.code, f"or run `shoal login {domain}`" in refused.errors) == (1, True)
            words = ("login", "-u", "ann", "--password-stdin", domain)
            wrong = await rig.run(*words, stdin=b"wrong\n")
            assert f"login to {domain} failed: incorrect user name or password" in wrong.errors
            done = await rig.good(*words, stdin=b"secret\n")
            assert done.lines == ["Login Succeeded"]
            assert "stored unencrypted" in done.errors
            file = rig.home / "docker/config.json"
            assert stat.S_IMODE(file.stat().st_mode) == 0o600
            assert json.loads(file.read_text())["auths"] == {domain: {"auth": "YW5uOnNlY3JldA=="}}
            await rig.good("pull", "-q", f"{domain}/small:1")
            await rig.good("tag", f"{domain}/small:1", f"{domain}/other:2")
            assert "digest: sha256:" in (await rig.good("push", f"{domain}/other:2")).text
            assert (await rig.good("login", domain)).lines == ["Login Succeeded"]
            assert (await rig.good("logout", domain)).lines == [f"Removing login credentials for {domain}"]
            assert (await rig.good("logout", domain)).lines == [f"Not logged in to {domain}"]
            assert (await rig.run("pull", f"{domain}/small:1")).code == 1

    play(tmp_path, scenario)


HELPER = """#!/bin/sh
set -eu
store="$(dirname "$0")/secrets"
case "$1" in
store) cat > "$store" ;;
get) cat > /dev/null; [ -e "$store" ] && cat "$store" || { echo "credentials not found in native keychain"; exit 1; } ;;
erase) cat > /dev/null; rm -f "$store" ;;
esac
"""


def test_credentials_are_kept_by_dockers_helper(tmp_path: Path) -> None:
    async def scenario(rig: CommandRig, source: str) -> None:
        programs = tmp_path / "bin"
        programs.mkdir()
        helper = programs / "docker-credential-test"
        helper.write_text(HELPER)
        helper.chmod(0o755)
        file = rig.home / "docker/config.json"
        file.parent.mkdir()
        file.write_text(json.dumps({"credHelpers": {source: "test"}, "detachKeys": "ctrl-x"}))
        known = {"PATH": f"{programs}{os.pathsep}{os.environ['PATH']}"}
        done = await rig.good("login", "-u", "ann", "--password-stdin", source, stdin=b"pw", environment=known)
        assert "unencrypted" not in done.errors
        assert json.loads((programs / "secrets").read_text()) == {
            "ServerURL": source, "Username": "ann", "Secret": "pw",
        }  # fmt: skip
        document = json.loads(file.read_text())
        assert (document["auths"], document["detachKeys"]) == ({source: {}}, "ctrl-x")
        await rig.good("logout", source, environment=known)
        assert not (programs / "secrets").exists()
        missing = await rig.run("pull", f"{source}/small:1", environment={"PATH": "/usr/bin:/bin"})
        assert missing.errors == "error: credential helper docker-credential-test is not installed\n"

    play(tmp_path, scenario)


def test_a_cluster_without_an_image_repository_says_so(tmp_path: Path) -> None:
    async def run() -> None:
        async with command_rig(tmp_path, repository=False) as rig:
            for words in (("pull", "nginx"), ("load",), ("push", "nginx")):
                done = await rig.run(*words)
                assert (done.code, "the cluster has no image repository" in done.errors) == (1, True), done
            bad = await rig.run("cluster", "update", "--image-repository", "registry:5000/a:tag")
            assert "must be a repository without a tag or digest" in bad.errors
            away = await rig.run("cluster", "update", "--image-repository", "127.0.0.1:1")
            assert (away.code, "127.0.0.1:1 is unreachable" in away.errors) == (1, True)
            set_now = await rig.good("cluster", "update", "--image-repository", rig.registry)
            assert set_now.lines == [f"{rig.registry}/shoal/pool"]
            assert (await rig.good("cluster", "update", "--image-repository", "")).lines == ["none"]

    asyncio.run(run())


def test_a_name_that_the_cluster_does_not_know_is_inspected_in_its_registry(tmp_path: Path) -> None:
    async def scenario(rig: CommandRig, source: str) -> None:
        pushed = await push(small_archive(tmp_path), f"{source}/small:1", Registries(), ignore)
        shown = json.loads((await rig.good("image", "inspect", "--format", "json", f"{source}/small:1")).text)
        assert shown[0]["digest"] == pushed.digest
        absent = await rig.run("image", "inspect", f"{source}/absent:1")
        assert (absent.code, "not found in registry" in absent.errors) == (1, True)

    play(tmp_path, scenario)


@pytest.mark.parametrize("words", [("pull", "UPPER"), ("tag", "a", "b@sha256:" + "a" * 64), ("images", "-f", "x=y")])
def test_bad_input_is_one_line_and_exit_code_2(tmp_path: Path, words: tuple[str, ...]) -> None:
    async def scenario(rig: CommandRig, _: str) -> None:
        done = await rig.run(*words)
        assert (done.code, done.errors.count("\n")) == (2, 1), done

    play(tmp_path, scenario)
