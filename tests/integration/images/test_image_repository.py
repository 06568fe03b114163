"""The cluster's image repository in a real docker-registry: push, removal, and what nodes pull from it."""

import asyncio
from pathlib import Path

import pytest

from cli.images.push import push
from shoal.distribution.registries import Registries
from shoal.errors import NotFound
from shoal.image_reference import parse
from tests.integration.images.image_repository_rig import (
    nothing,
    pull,
    rig,
    two_platforms,
)
from tests.integration.images.rig import (
    ignore,
    small_archive,
    store_in,
)
from tests.integration.registry_fixture import running_registry


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


def test_an_index_is_there_with_its_manifests_alone(tmp_path: Path) -> None:
    async def run() -> None:
        two_platforms(tmp_path / "two.tar")
        async with rig(tmp_path) as (port, _, distribution, repository):
            await push(tmp_path / "two.tar", f"127.0.0.1:{port}/two:1", Registries(), ignore)
            image = await pull(distribution, repository, f"127.0.0.1:{port}/two:1")
            parts = [each.digest for each in image.variants]
            assert len(parts) == 2
            assert await repository.has_manifests(parts)
            assert await repository.forget(parts[1])
            assert await repository.has(image.digest)
            assert not await repository.has_manifests(parts)

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
