"""No version of a record that was read before a restoration is one after it, also once etcd has come as far again."""

import asyncio
import io

import pytest

from manager.backups.restoration import Restoration
from manager.store.backend import Backend, Compare, CompareTarget, Put
from manager.store.changes import expect, put
from manager.store.kinds import LEADER, SERVICE
from manager.store.offset_backend import OffsetBackend
from shoal.api.v1.cluster_pb2 import Leader
from shoal.api.v1.meta_pb2 import Meta
from shoal.api.v1.service_pb2 import Service, ServiceSpec
from shoal.errors import Conflict, LeadershipLost
from tests.contract.store.rig import Rig, Run, running_store
from tests.contract.store.test_backups import KEYRING, backed_up, now_ms, populate, restored
from tests.fakes.memory_etcd import MemoryEtcd

pytestmark = pytest.mark.parametrize("run", ["memory", "etcd"], indirect=True)


def service(name: str) -> Service:
    return Service(meta=Meta(id="s"), spec=ServiceSpec(name=name))


async def restored_into(backend: Backend, file: io.BytesIO) -> None:
    await restored(file, backend, Restoration(keyring=KEYRING, now_ms=now_ms, manager_id="m1"))


async def backup_and_versions(backend: Backend) -> tuple[io.BytesIO, list[int]]:
    """A backup, and versions that the service had before it and after it."""
    async with running_store(backend) as store:
        versions = [await store.commit([put(SERVICE, "s", service("web"))])]
        reader = OffsetBackend(backend)
        await reader.load()
        file = await backed_up(reader)
        versions += [await store.commit([put(SERVICE, "s", service(f"web{number}"))]) for number in range(20)]
    return file, versions


async def advance(backend: Backend, revision: int) -> None:
    """Write elsewhere until etcd's own revision is one below this."""
    while (await backend.txn((), [Put(b"/elsewhere", b"")])).revision < revision - 1:
        pass


def test_a_version_of_before_is_refused_when_etcd_has_it_again(run: Run) -> None:
    """With plain revisions the update would be made: the record has exactly this one."""

    async def scenario(rig: Rig) -> None:
        source = MemoryEtcd()
        await populate(source)
        file, versions = await backup_and_versions(source)
        await restored_into(rig.backend, file)
        async with running_store(rig.backend) as store:
            seen = store.version_of(SERVICE, "s")
            assert seen == store.tables.services["s"].meta.version > versions[-1]
            assert store.tables.revision >= seen and store.newest_revision >= seen
            await advance(rig.backend, versions[-1])
            await store.commit([put(SERVICE, "s", service("young"))])
            key = SERVICE.key("s")
            assert (await rig.backend.read([key])).records[key].mod_revision == versions[-1]
            now = store.version_of(SERVICE, "s")
            for version in versions:
                with pytest.raises(Conflict, match=f"expected version {version}, found {now}"):
                    await store.commit([put(SERVICE, "s", service("old"))], expects=[expect(SERVICE, "s", version)])
            await store.commit([put(SERVICE, "s", service("new"))], expects=[expect(SERVICE, "s", now)])
            read = await store.backend.read([key])
            assert read.records[key].mod_revision == read.revision == store.version_of(SERVICE, "s") > now

    run(scenario)


def test_a_store_follows_what_another_one_writes_in_a_later_epoch(run: Run) -> None:
    async def scenario(rig: Rig) -> None:
        source = MemoryEtcd()
        await populate(source)
        file, versions = await backup_and_versions(source)
        await restored_into(rig.backend, file)
        async with running_store(rig.backend) as one, running_store(rig.backend) as other:
            async with asyncio.timeout(30):
                await other.reached(versions[-1])  # as for a client that has seen this one and asks for no older view
            revision = await one.commit([put(SERVICE, "s", service("again"))])
            await other.reached(revision)
            assert other.tables.services["s"] == one.tables.services["s"]
            assert other.version_of(SERVICE, "s") == revision

    run(scenario)


def test_terms_go_on_rising(run: Run) -> None:
    """Nodes refuse calls of a lower term than the last."""

    async def scenario(rig: Rig) -> None:
        key, value = LEADER.key(""), Leader(manager_id="m").SerializeToString()
        source = MemoryEtcd()
        await populate(source)
        async with running_store(source) as store:
            await store.transact((), [Put(b"/elsewhere", b"")])
            former = (await store.transact((), [Put(key, value)])).revision
            file = await backed_up(source)
        await restored_into(rig.backend, file)
        async with running_store(rig.backend) as store:
            term = (await store.transact([Compare(key, CompareTarget.CREATED_AT, 0)], [Put(key, value)])).revision
            assert term > former
            await store.commit([put(SERVICE, "s", service("led"))], fence=term)
            with pytest.raises(LeadershipLost):
                await store.commit([put(SERVICE, "s", service("late"))], fence=former)

    run(scenario)


def test_each_restoration_begins_above_the_one_before(run: Run) -> None:
    async def scenario(rig: Rig) -> None:
        source, second = MemoryEtcd(), MemoryEtcd()
        await populate(source)
        file, first = await backup_and_versions(source)
        await restored_into(second, file)
        file, later = await backup_and_versions(second)
        await restored_into(rig.backend, file)
        async with running_store(rig.backend) as store:
            assert first[-1] < later[0] < later[-1] < store.version_of(SERVICE, "s")

    run(scenario)
