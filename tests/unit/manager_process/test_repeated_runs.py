"""Controllers that run after changes alone run again after a write that failed, in virtual time."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

import pytest

from manager.certificate_authority.cluster_record import new_cluster
from manager.containers.container_volumes import ANONYMOUS_LABEL
from manager.controllers.cluster_key_rotation import ClusterKeyRotation, reencrypted_records
from manager.controllers.container_collector import ContainerCollector
from manager.controllers.garbage_collector import GarbageCollector
from manager.store.changes import put
from manager.store.kinds import CLUSTER, CONTAINER, LEADER, NAME, NETWORK, VOLUME, VOLUME_HOME
from manager.store.store import Store
from manager.volumes.volume_handler import removal
from shoal.api.v1.cluster_pb2 import Leader
from shoal.api.v1.container_pb2 import Mount
from shoal.api.v1.meta_pb2 import Meta, Name
from shoal.api.v1.network_pb2 import Network, NetworkSpec
from shoal.api.v1.standalone_pb2 import Container
from shoal.api.v1.volume_pb2 import Volume, VolumeHome, VolumeSpec
from shoal.identity.authority import Authority
from shoal.identity.keyring import Keyring
from tests.contract.store.rig import running_store
from tests.fakes.faulty_backend import FaultyBackend
from tests.fakes.loaded_store import loaded_store
from tests.fakes.memory_etcd import MemoryEtcd
from tests.fakes.virtual_time import run_virtual
from tests.polling import until

FORMER, CURRENT = bytes(range(32)), bytes(range(1, 33))


def collector(store: Store) -> Callable[[int], Awaitable[None]]:
    return GarbageCollector(store=store).run


def rotation(store: Store) -> Callable[[int], Awaitable[None]]:
    return ClusterKeyRotation(store=store, keyring=Keyring(CURRENT, FORMER)).run


def has_work(store: Store) -> bool:
    """Whether one of the two still has something to write."""
    keyring = Keyring(CURRENT, FORMER)
    return bool(store.tables.networks) and any(reencrypted_records(store.tables, keyring))


@pytest.mark.parametrize("made", [collector, rotation])
def test_a_write_whose_answer_is_lost_is_made_again(made: Callable[[Store], Callable[[int], Awaitable[None]]]) -> None:
    async def scenario() -> None:
        backend = FaultyBackend(MemoryEtcd())
        async with running_store(backend) as store:
            fence = await store.commit([put(LEADER, "", Leader(manager_id="one"))])
            network = Network(meta=Meta(id="n1"), spec=NetworkSpec(name="front"), removing=True)
            cluster = new_cluster("c1", Authority.create("c1", datetime.now(UTC)), keyring=Keyring(FORMER), now_ms=1)
            await store.commit([put(NETWORK, "n1", network), put(CLUSTER, "", cluster)])
            assert has_work(store)
            backend.lose_answer(made=False)
            running = asyncio.ensure_future(made(store)(fence))
            await until(lambda: not has_work(store))
            running.cancel()

    run_virtual(scenario())


def test_a_container_that_etcd_cannot_delete_in_one_transaction_ends_no_leader(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """As an external etcd with a small --max-txn-ops."""

    async def scenario() -> None:
        etcd = MemoryEtcd()
        etcd.max_operations = 8
        async with loaded_store(etcd) as store:
            fence = await store.commit([put(LEADER, "", Leader(manager_id="one"))])
            mounts = []
            for number in range(4):
                spec = VolumeSpec(name=f"a{number}", driver="local", labels={ANONYMOUS_LABEL: ""})
                await store.commit([put(VOLUME, f"v{number}", Volume(meta=Meta(id=f"v{number}"), spec=spec))])
                mounts.append(Mount(type=Mount.VOLUME, source=f"v{number}", target=f"/{number}"))
            for name, mounted in (("large", mounts), ("small", mounts[:0])):
                container = Container(meta=Meta(id=name), name=name, removing=True, remove_volumes=True)
                container.definition.task.container.mounts.extend(mounted)
                await store.commit([put(CONTAINER, name, container)])
            running = asyncio.ensure_future(ContainerCollector(store=store).run(fence))
            await until(lambda: running.done() or "small" not in store.tables.containers)
            assert not running.done()
            assert [*store.tables.containers] == ["large"]
            assert "cannot delete container large: transaction too large" in caplog.text
            assert "start etcd with --max-txn-ops=1024" in caplog.text
            running.cancel()

    run_virtual(scenario())


def test_a_volume_with_more_slots_than_one_transaction_takes_is_deleted() -> None:
    async def scenario() -> None:
        async with loaded_store(MemoryEtcd()) as store:
            fence = await store.commit([put(LEADER, "", Leader(manager_id="one"))])
            homes = [VolumeHome(volume_id="v1", slot=slot, node_id="n1") for slot in range(1, 2_500)]
            await store.commit_in_batches([put(VOLUME_HOME, f"v1/{home.slot}", home) for home in homes])
            volume = Volume(meta=Meta(id="v1"), spec=VolumeSpec(name="data", driver="local"))
            await store.commit([put(VOLUME, "v1", volume), put(NAME, "volume/data", Name(meta=Meta(id="v1")))])
            removed = removal(store, store.tables.volumes["v1"])
            await store.commit(removed.writes, expects=removed.expects)
            assert store.tables.volumes["v1"].removing, "the leader deletes it"
            running = asyncio.ensure_future(GarbageCollector(store=store).run(fence))
            await until(lambda: running.done() or not store.tables.volumes)
            assert not running.done()
            assert not store.tables.volume_homes and not store.tables.names
            running.cancel()

    run_virtual(scenario())
