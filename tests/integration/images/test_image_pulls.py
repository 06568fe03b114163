"""What is pulled into the cluster's image repository: whole, once, in pieces, and with whose credentials."""

import asyncio
import os
from pathlib import Path

import pytest

from cli.images.pack import write_archive
from cli.images.push import push
from cli.playground.registry_server import RegistryAccess
from shoal.distribution.digests import digest_of
from shoal.distribution.manifests import Platform
from shoal.distribution.registries import Registries
from shoal.distribution.registry_client import Distribution
from shoal.distribution.uploads import Uploader
from shoal.errors import InvalidInput, NotFound, Unauthenticated, Unavailable
from shoal.image_reference import parse
from shoal.images.image_contents import read_contents
from shoal.images.image_repository import ImageRepository
from shoal.images.progress import LayerState
from shoal.images.source_blob import SourceBlob
from tests.integration.images.image_repository_rig import (
    ARM64,
    Recorder,
    nothing,
    pull,
    rig,
    two_platforms,
)
from tests.integration.images.rig import (
    QUICK,
    entry,
    ignore,
    image_of,
    layer_of,
    settings,
    small_archive,
    store_in,
)
from tests.integration.images.test_registry_round_trip import cutting_proxy
from tests.integration.registry_fixture import make_htpasswd, running_registry


def test_an_image_is_pulled_once_and_runs_from_the_repository(tmp_path: Path) -> None:
    async def run() -> None:
        async with rig(tmp_path) as (port, cluster, distribution, repository):
            name = f"127.0.0.1:{port}/team/small:1"
            pushed = await push(small_archive(tmp_path), name, Registries(), ignore)
            first, again = Recorder(), Recorder()
            image = await pull(distribution, repository, name, first)
            assert (image.name, image.digest) == (name, pushed.digest)
            assert image.source == f"{name}@{pushed.digest}"
            assert first.count(LayerState.DONE) == 2
            (variant,) = image.variants
            assert (variant.platform.os, variant.platform.architecture) == ("linux", "amd64")
            assert digest_of(variant.config) == variant.config_digest
            assert len(variant.layers) == len(variant.layer_bytes) == 2
            await pull(distribution, repository, name, again)
            assert (again.count(LayerState.DONE), again.count(LayerState.EXISTS)) == (0, 2)
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
            assert recorder.count(LayerState.EXISTS) == 2

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
        security = RegistryAccess(htpasswd=make_htpasswd(tmp_path / "htpasswd", "ann", "secret"))
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
