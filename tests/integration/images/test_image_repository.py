"""The cluster's image repository in a real docker-registry: pull, push, save, load, import, removal."""

import asyncio
import gzip
import io
import json
import os
import tarfile
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from cli.images.pack import Layer, PackedImage, write_archive
from cli.images.push import push
from cli.playground.registry_server import RegistryAuth
from shoal.api.v1.standalone_pb2 import Image
from shoal.distribution.digests import digest_of
from shoal.distribution.manifests import Platform
from shoal.distribution.registries import Registries
from shoal.distribution.registry_client import Distribution
from shoal.distribution.uploads import Uploader
from shoal.errors import InvalidInput, NotFound, Unauthenticated, Unavailable
from shoal.image_reference import parse
from shoal.images.archive import open_source, open_stream
from shoal.images.archive_writer import SavedImage
from shoal.images.archive_writer import write_archive as save_archive
from shoal.images.image_contents import read_contents
from shoal.images.image_repository import ImageRepository
from shoal.images.loading import load
from shoal.images.progress import LayerProgress, LayerState
from shoal.images.source_blob import SourceBlob
from shoal.images.tar_import import ImportSettings, imported_image
from tests.integration.images.rig import (
    AMD64,
    QUICK,
    entry,
    ignore,
    image_of,
    layer_of,
    settings,
    small_archive,
    store_in,
    tar_of,
)
from tests.integration.images.test_registry_round_trip import cutting_proxy
from tests.integration.registry_fixture import make_htpasswd, running_registry

ARM64 = Platform("linux", "arm64", "v8")
CREATED = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


class Recorder:
    """Keeps progress."""

    def __init__(self) -> None:
        self.steps: list[LayerProgress] = []

    def __call__(self, step: LayerProgress) -> None:
        self.steps.append(step)

    def count(self, state: LayerState) -> int:
        """How many blobs ended so."""
        return sum(each.state == state for each in self.steps)


def nothing(_: LayerProgress) -> None:
    """For progress that a test does not look at."""


@asynccontextmanager
async def rig(directory: Path) -> AsyncGenerator[tuple[int, int, Distribution, ImageRepository]]:
    """Ports of a source registry and of the cluster's, and the cluster's image repository."""
    async with (
        running_registry(directory / "source") as source,
        running_registry(directory / "cluster") as cluster,
        Distribution(Registries(), policy=QUICK) as distribution,
    ):
        yield source.port, cluster.port, distribution, ImageRepository(distribution, f"127.0.0.1:{cluster.port}")


def two_platforms(path: Path) -> list[PackedImage]:
    """An archive of an index; returns its images."""
    images = [image_of(layer_of(entry("which", str(each).encode())), platform=each) for each in (AMD64, ARM64)]
    write_archive(path, images, tag="1")
    return images


async def pull(
    distribution: Distribution, repository: ImageRepository, name: str, recorder: Recorder | None = None
) -> Image:
    """Pull a name."""
    reference = parse(name)
    return await repository.pull(distribution.repository(reference), reference, recorder or Recorder())


async def save(repository: ImageRepository, images: Sequence[SavedImage], path: Path) -> None:
    """Save into a file."""
    with path.open("wb") as file:
        async for piece in save_archive(repository.repository, images, nothing):
            file.write(piece)


def test_an_image_is_pulled_once_and_runs_from_the_repository(tmp_path: Path) -> None:
    async def run() -> None:
        async with rig(tmp_path) as (port, cluster, distribution, repository):
            name = f"127.0.0.1:{port}/team/small:1"
            pushed = await push(small_archive(tmp_path), name, Registries(), ignore)
            first, again = Recorder(), Recorder()
            image = await pull(distribution, repository, name, first)
            assert (image.name, image.digest) == (name, pushed.digest)
            assert image.source == f"{name}@{pushed.digest}"
            assert first.count(LayerState.DONE) == 3
            (variant,) = image.variants
            assert (variant.platform.os, variant.platform.architecture) == ("linux", "amd64")
            assert digest_of(variant.config) == variant.config_digest
            assert len(variant.layers) == len(variant.layer_bytes) == 2
            await pull(distribution, repository, name, again)
            assert (again.count(LayerState.DONE), again.count(LayerState.EXISTS)) == (0, 3)
            store = store_in(tmp_path / "images", Registries())
            found = await store.ensure(f"127.0.0.1:{cluster}/shoal/pool@{image.digest}", ignore)
            assert (found.layers[0] / "top").exists() or (found.layers[1] / "top").exists()
            await store.aclose()

    asyncio.run(run())


def test_all_platforms_are_pulled_or_one(tmp_path: Path) -> None:
    async def run() -> None:
        images = two_platforms(tmp_path / "two.tar")
        async with rig(tmp_path) as (port, _, distribution, repository):
            name = f"127.0.0.1:{port}/two:1"
            top = await push(tmp_path / "two.tar", name, Registries(), ignore)
            whole = await pull(distribution, repository, name)
            assert whole.digest == top.digest
            assert [each.platform.architecture for each in whole.variants] == ["amd64", "arm64"]
            reference = parse(name)
            one = await repository.pull(distribution.repository(reference), reference, nothing, platform=ARM64)
            assert one.digest == images[1].manifest.digest
            assert [each.platform.variant for each in one.variants] == ["v8"]
            with pytest.raises(NotFound, match="available: linux/amd64, linux/arm64/v8"):
                await repository.pull(
                    distribution.repository(reference), reference, nothing, platform=Platform("linux", "riscv64")
                )
            by_digest = await pull(distribution, repository, f"127.0.0.1:{port}/two@{top.digest}")
            assert by_digest.name == f"127.0.0.1:{port}/two@{top.digest}"

    asyncio.run(run())


def test_blobs_of_the_same_registry_are_mounted(tmp_path: Path) -> None:
    async def run() -> None:
        async with rig(tmp_path) as (_, cluster, distribution, repository):
            name = f"127.0.0.1:{cluster}/team/small:1"
            await push(small_archive(tmp_path), name, Registries(), ignore)
            recorder = Recorder()
            await pull(distribution, repository, name, recorder)
            assert recorder.count(LayerState.TRANSFERRING) == 0
            assert recorder.count(LayerState.EXISTS) == 3

    asyncio.run(run())


def test_a_pull_goes_on_when_the_source_breaks_off(tmp_path: Path) -> None:
    async def run() -> None:
        archive = tmp_path / "big.tar"
        write_archive(archive, [image_of(layer_of(entry("big", os.urandom(8_000_000))))], tag="1")
        async with rig(tmp_path) as (port, _, distribution, repository):
            await push(archive, f"127.0.0.1:{port}/big:1", Registries(), ignore)
            async with cutting_proxy(port, cut_after=2_000_000, cuts=2) as (proxy, given):
                image = await pull(distribution, repository, f"127.0.0.1:{proxy}/big:1")
            assert sum(given) < 9_500_000
            assert await repository.has(image.digest)

    asyncio.run(run())


def test_a_large_blob_goes_over_in_pieces_and_is_verified_whole(tmp_path: Path) -> None:
    async def run() -> None:
        archive = tmp_path / "big.tar"
        write_archive(archive, [image_of(layer_of(entry("big", os.urandom(300_000))))], tag="1")
        async with rig(tmp_path) as (port, _, distribution, repository):
            await push(archive, f"127.0.0.1:{port}/big:1", Registries(), ignore)
            source = distribution.repository(parse(f"127.0.0.1:{port}/big:1"))
            (layer,) = (await read_contents(source, "1")).manifests[0].manifest.layers
            done: list[int] = []
            blob = SourceBlob(source, layer, on_bytes=done.append)
            assert await Uploader(repository.repository, chunk_bytes=70_001).put_blob(layer, blob.open)
            assert done[-1] == layer.size
            assert await repository.repository.blob(layer)

    asyncio.run(run())


def test_a_private_registry_is_read_with_the_credentials_of_whoever_pulls(tmp_path: Path) -> None:
    async def run() -> None:
        password = tmp_path / "password"
        password.write_text("secret\n")
        password.chmod(0o600)
        security = RegistryAuth(htpasswd=make_htpasswd(tmp_path / "htpasswd", "ann", "secret"))
        async with (
            running_registry(tmp_path / "private", security=security) as private,
            running_registry(tmp_path / "cluster") as cluster,
        ):
            domain = f"127.0.0.1:{private.port}"
            known = settings(domain, f"http://{domain}", login=("ann", password))
            await push(small_archive(tmp_path), f"{domain}/small:1", known, ignore)
            async with Distribution(known, policy=QUICK) as allowed, Distribution(Registries(), policy=QUICK) as other:
                repository = ImageRepository(other, f"127.0.0.1:{cluster.port}")
                with pytest.raises(Unauthenticated):
                    await pull(other, repository, f"{domain}/small:1")
                image = await pull(allowed, repository, f"{domain}/small:1")
                assert await repository.has(image.digest)

    asyncio.run(run())


def test_an_image_is_pushed_elsewhere_under_another_name(tmp_path: Path) -> None:
    async def run() -> None:
        two_platforms(tmp_path / "two.tar")
        async with rig(tmp_path) as (port, _, distribution, repository):
            await push(tmp_path / "two.tar", f"127.0.0.1:{port}/two:1", Registries(), ignore)
            image = await pull(distribution, repository, f"127.0.0.1:{port}/two:1")
            target = distribution.repository(parse(f"127.0.0.1:{port}/other/name:9"))
            done = await repository.push(image.digest, target, "9", nothing)
            assert (await target.manifest("9")).digest == image.digest
            assert (done.transferred, done.existing) == (4, 0)
            again = await repository.push(image.digest, target, "10", nothing)
            assert (again.transferred, again.existing) == (0, 4)
            third = distribution.repository(parse(f"127.0.0.1:{port}/third:1"))
            lent = await repository.push(image.digest, third, "1", nothing, source=image.source)
            assert (lent.transferred, lent.existing) == (0, 4)
            assert (await third.manifest("1")).digest == image.digest

    asyncio.run(run())


def test_saved_images_load_with_their_names_and_digests(tmp_path: Path) -> None:
    async def run() -> None:
        two_platforms(tmp_path / "two.tar")
        async with rig(tmp_path) as (port, cluster, distribution, repository):
            await push(tmp_path / "two.tar", f"127.0.0.1:{port}/two:1", Registries(), ignore)
            await push(small_archive(tmp_path), f"127.0.0.1:{port}/small:1", Registries(), ignore)
            two = await pull(distribution, repository, f"127.0.0.1:{port}/two:1")
            small = await pull(distribution, repository, f"127.0.0.1:{port}/small:1")
            requested = [SavedImage(two.digest, (parse("two:1"), parse("b:2"))), SavedImage(small.digest)]
            await save(repository, requested, tmp_path / "saved.tar")
            await save(repository, requested, tmp_path / "again.tar")
            assert (tmp_path / "saved.tar").read_bytes() == (tmp_path / "again.tar").read_bytes()
            with tarfile.open(tmp_path / "saved.tar") as tar:
                listed = json.load(tar.extractfile("manifest.json"))  # type: ignore[arg-type]
                for each in listed:
                    assert all(tar.getmember(name) for name in (each["Config"], *each["Layers"]))
            assert [each["RepoTags"] for each in listed] == [["two:1", "b:2"], None]
            elsewhere = ImageRepository(distribution, f"127.0.0.1:{cluster}/other/pool")
            with open_source(tmp_path / "saved.tar") as source:
                loaded = await load(source, elsewhere, nothing)
            assert {(each.name, each.digest) for each in loaded} == {
                ("docker.io/library/two:1", two.digest),
                ("docker.io/library/b:2", two.digest),
                ("", small.digest),
            }
            assert await elsewhere.has(two.digest)

    asyncio.run(run())


def docker_archive(path: Path, layers: Sequence[bytes], tags: Sequence[str]) -> str:
    """What `docker save` before version 25 writes; returns the digest of the configuration."""
    config = json.dumps(
        {
            "architecture": "amd64",
            "os": "linux",
            "config": {"Cmd": ["/bin/true"]},
            "rootfs": {"type": "layers", "diff_ids": [digest_of(each) for each in layers]},
        }
    ).encode()
    files = {f"{digest_of(each)[7:]}/layer.tar": each for each in layers}
    listing = [{"Config": "c.json", "RepoTags": list(tags), "Layers": list(files)}]
    with tarfile.open(path, "w") as tar:
        for name, content in {**files, "c.json": config, "manifest.json": json.dumps(listing).encode()}.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return digest_of(config)


def test_docker_archives_load_plain_and_compressed(tmp_path: Path) -> None:
    async def run() -> None:
        from backports import zstd

        layers = [tar_of([entry("a", b"a" * 5000)]), tar_of([entry("b")])]
        config = docker_archive(tmp_path / "d.tar", layers, ["web:1", "other:2"])
        plain = (tmp_path / "d.tar").read_bytes()
        (tmp_path / "d.tar.gz").write_bytes(gzip.compress(plain))
        (tmp_path / "d.tar.zst").write_bytes(zstd.compress(plain))
        async with rig(tmp_path) as (_, cluster, _, repository):
            digests = set()
            for name in ("d.tar", "d.tar.gz", "d.tar.zst"):
                with open_source(tmp_path / name) as source:
                    loaded = await load(source, repository, nothing)
                assert [each.name for each in loaded] == ["docker.io/library/web:1", "docker.io/library/other:2"]
                assert {each.variants[0].config_digest for each in loaded} == {config}
                digests |= {each.digest for each in loaded}
            assert len(digests) == 1
            with open_stream(io.BytesIO(gzip.compress(plain)), "-") as source:
                assert (await load(source, repository, nothing, compression="zstd"))[0].digest not in digests
            store = store_in(tmp_path / "images", Registries())
            found = await store.ensure(f"127.0.0.1:{cluster}/shoal/pool@{digests.pop()}", ignore)
            assert {path.name for layer in found.layers for path in layer.iterdir()} == {"a", "b"}
            await store.aclose()

    asyncio.run(run())


def test_a_tar_becomes_an_image_of_one_layer(tmp_path: Path) -> None:
    async def run() -> None:
        content = tar_of([entry("etc/os-release", b"ID=mine\n")])
        (tmp_path / "root.tar").write_bytes(content)
        requested = ImportSettings(AMD64, CREATED, "docker.io/library/mine:1", ['CMD ["/bin/sh"]'], "from a tar")
        async with rig(tmp_path) as (_, cluster, _, repository):
            with (tmp_path / "root.tar").open("rb") as file:
                (image,) = await load(imported_image(file, "root.tar", requested), repository, nothing)
            config = json.loads(image.variants[0].config)
            assert (image.name, config["config"]) == ("docker.io/library/mine:1", {"Cmd": ["/bin/sh"]})
            assert config["rootfs"]["diff_ids"] == [digest_of(content)]
            assert config["history"] == [{"comment": "from a tar", "created": "2026-01-02T03:04:05Z"}]
            store = store_in(tmp_path / "images", Registries())
            found = await store.ensure(f"127.0.0.1:{cluster}/shoal/pool@{image.digest}", ignore)
            assert (found.layers[0] / "etc/os-release").read_text() == "ID=mine\n"
            await store.aclose()

    asyncio.run(run())


def test_an_image_that_is_removed_is_kept_no_longer(tmp_path: Path) -> None:
    async def run() -> None:
        async with rig(tmp_path) as (port, _, distribution, repository):
            name = f"127.0.0.1:{port}/small:1"
            await push(small_archive(tmp_path), name, Registries(), ignore)
            image = await pull(distribution, repository, name)
            assert await repository.has(image.digest)
            assert await repository.forget(image.digest)
            assert not await repository.has(image.digest)
            assert not await repository.forget(image.digest)
            again = await pull(distribution, repository, name)
            assert (again.digest, await repository.has(image.digest)) == (image.digest, True)

    asyncio.run(run())


def test_a_corrupt_blob_does_not_reach_the_repository(tmp_path: Path) -> None:
    async def run() -> None:
        archive = tmp_path / "big.tar"
        write_archive(archive, [image_of(layer_of(entry("big", os.urandom(300_000))))], tag="1")
        async with rig(tmp_path) as (port, _, distribution, repository):
            await push(archive, f"127.0.0.1:{port}/big:1", Registries(), ignore)
            blobs = (tmp_path / "source/data/docker/registry/v2/blobs").glob("*/*/*/data")
            layer = max(blobs, key=lambda path: path.stat().st_size)
            layer.write_bytes(layer.read_bytes()[:-1] + b"x")
            with pytest.raises(InvalidInput, match="corrupt"):
                await pull(distribution, repository, f"127.0.0.1:{port}/big:1")
            with pytest.raises(NotFound):
                await repository.repository.manifest("1")

    asyncio.run(run())


def test_errors_name_the_registry_that_fails(tmp_path: Path) -> None:
    async def run() -> None:
        async with rig(tmp_path) as (port, _, distribution, _):
            await push(small_archive(tmp_path), f"127.0.0.1:{port}/small:1", Registries(), ignore)
            away = ImageRepository(distribution, "127.0.0.1:1/shoal/pool")
            with pytest.raises(Unavailable, match=r"127\.0\.0\.1:1 is unreachable"):
                await pull(distribution, away, f"127.0.0.1:{port}/small:1")
            with pytest.raises(NotFound, match="absent"):
                await pull(distribution, away, f"127.0.0.1:{port}/absent:1")

    asyncio.run(run())


def test_a_layer_that_comes_twice_is_saved_once(tmp_path: Path) -> None:
    async def run() -> None:
        layer: Layer = layer_of(entry("a"))
        write_archive(tmp_path / "twice.tar", [image_of(layer, layer)], tag="1")
        async with rig(tmp_path) as (port, _, distribution, repository):
            await push(tmp_path / "twice.tar", f"127.0.0.1:{port}/twice:1", Registries(), ignore)
            image = await pull(distribution, repository, f"127.0.0.1:{port}/twice:1")
            await save(repository, [SavedImage(image.digest, (parse("twice:1"),))], tmp_path / "saved.tar")
            with tarfile.open(tmp_path / "saved.tar") as tar:
                names = tar.getnames()
            assert len(names) == len(set(names))
            with open_source(tmp_path / "saved.tar") as source:
                assert [each.digest for each in await load(source, repository, nothing)] == [image.digest]

    asyncio.run(run())


def test_a_node_asks_the_cluster_s_repository_first(tmp_path: Path) -> None:
    async def run() -> None:
        async with rig(tmp_path) as (port, cluster, distribution, repository):
            name = f"127.0.0.1:{port}/small:1"
            await push(small_archive(tmp_path), name, Registries(), ignore)
            await push(small_archive(tmp_path, "2", b"other"), f"127.0.0.1:{port}/other:1", Registries(), ignore)
            image = await pull(distribution, repository, name)
            elsewhere = await distribution.repository(parse(f"127.0.0.1:{port}/other:1")).manifest_digest("1")
            store = store_in(tmp_path / "images", Registries())
            store.set_cluster_repository(f"127.0.0.1:{cluster}/shoal/pool")
            reports = store.reports()
            assert list((await anext(reports)).digests) == []
            # No such registry: what is found comes from the cluster's.
            found = await store.ensure(f"127.0.0.1:1/absent/small:1@{image.digest}", ignore)
            assert found.digest == image.digest
            assert list((await anext(reports)).digests) == [image.digest]
            # Not in the cluster's: from its own.
            assert (await store.ensure(f"127.0.0.1:{port}/other@{elsewhere}", ignore)).digest == elsewhere
            assert sorted((await anext(reports)).digests) == sorted([image.digest, elsewhere])
            await reports.aclose()
            await store.aclose()

    asyncio.run(run())


def test_a_cluster_s_repository_that_is_away_delays_no_node(tmp_path: Path) -> None:
    async def run() -> None:
        async with running_registry(tmp_path / "source") as source:
            name = f"127.0.0.1:{source.port}/small:1"
            pushed = await push(small_archive(tmp_path), name, Registries(), ignore)
            store = store_in(tmp_path / "images", Registries())
            store.set_cluster_repository("127.0.0.1:1/shoal/pool")
            assert (await store.ensure(pushed.reference, ignore)).digest == pushed.digest
            absent = f"127.0.0.1:{source.port}/absent@sha256:{'a' * 64}"
            with pytest.raises(NotFound, match=r"absent.*; the cluster's image repository: registry 127\.0\.0\.1:1"):
                await store.ensure(absent, ignore)
            await store.aclose()

    asyncio.run(run())
