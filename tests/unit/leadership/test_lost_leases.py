"""Leases that are lost while etcd does not answer: when the holder knows, in virtual time."""

import asyncio

import pytest

from manager.leadership.leadership import LAPSED_SECONDS, Leadership
from manager.leadership.lease import TTL_SECONDS, LeaseLost, held_lease
from shoal.api.v1.cluster_pb2 import Manager
from shoal.errors import Unavailable
from shoal.task_group import TaskGroup
from tests.fakes.loaded_store import loaded_store
from tests.fakes.memory_etcd import MemoryEtcd
from tests.fakes.virtual_time import run_virtual
from tests.polling import until


class SilentLeases(MemoryEtcd):
    """Of which no lease is granted, renewed or revoked once it is silent."""

    def __init__(self) -> None:
        super().__init__()
        self.silent = asyncio.Event()

    async def grant(self, ttl_seconds: int) -> int:
        return await super().grant(ttl_seconds) if not self.silent.is_set() else await asyncio.Event().wait()

    async def keep_alive(self, lease: int) -> int:
        return await super().keep_alive(lease) if not self.silent.is_set() else await asyncio.Event().wait()

    async def revoke(self, lease: int) -> None:
        await (super().revoke(lease) if not self.silent.is_set() else asyncio.Event().wait())


class RefusedRenewals(MemoryEtcd):
    """Each renewal fails, after a while."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self._seconds = seconds

    async def keep_alive(self, lease: int) -> int:
        await asyncio.sleep(self._seconds)
        raise Unavailable("etcd closed the lease stream")


@pytest.mark.parametrize("seconds", [0.0, 0.4, 0.9])
def test_a_lease_counts_as_lost_once_its_time_to_live_has_passed(seconds: float) -> None:
    async def scenario() -> float:
        clock = asyncio.get_running_loop().time
        began = lost = clock()
        with pytest.raises(ExceptionGroup) as ended:
            async with held_lease(RefusedRenewals(seconds)):
                try:
                    await asyncio.Event().wait()
                finally:
                    lost = clock()
        assert [type(each) for each in ended.value.exceptions] == [LeaseLost]
        return lost - began

    assert run_virtual(scenario()) == pytest.approx(TTL_SECONDS)


def test_a_manager_knows_that_its_registration_lapsed_also_while_the_lease_is_not_revoked() -> None:
    async def scenario() -> None:
        etcd = SilentLeases()
        async with loaded_store(etcd) as store, TaskGroup() as group:
            leadership = Leadership(store, store.backend, "one")
            entry = group.create_task(leadership.register(lambda: Manager(id="one"), asyncio.Event()))
            await until(lambda: "one" in store.tables.managers)
            etcd.silent.set()
            await asyncio.sleep(TTL_SECONDS)
            leadership.check_registered()
            await asyncio.sleep(LAPSED_SECONDS)
            with pytest.raises(Unavailable, match="registration expired 2 s ago"):
                leadership.check_registered()
            entry.cancel()

    run_virtual(scenario())
