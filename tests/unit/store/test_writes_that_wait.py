"""Writes while etcd answers nothing: how long those wait that are not even sent, in virtual time."""

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import grpc
import pytest
from grpc import aio

from manager.etcd.call_slots import MAX_IN_FLIGHT
from manager.etcd.client import WRITE_SECONDS, Etcd
from manager.etcd.members import Members
from manager.store.backend import OutcomeUnknown, Put
from shoal.errors import Unavailable
from tests.fakes.virtual_time import run_virtual


async def hangs(_: object, timeout: float) -> None:
    await asyncio.sleep(timeout)
    raise aio.AioRpcError(grpc.StatusCode.DEADLINE_EXCEEDED, aio.Metadata(), aio.Metadata(), "Deadline Exceeded")


def etcd_connected_after(seconds: float) -> Etcd:
    """A client of a member that hangs."""
    member = SimpleNamespace(kv=SimpleNamespace(Txn=hangs), mark_failed=lambda: None)

    async def connected(within: float) -> object:
        await asyncio.sleep(min(seconds, within))
        if seconds > within:
            raise Unavailable("etcd did not respond")
        return member

    return Etcd(members=cast(Members, SimpleNamespace(connected=connected)))


async def write(etcd: Etcd, number: int) -> tuple[type[Exception], float]:
    """How the write fails, and after how many seconds."""
    clock = asyncio.get_running_loop().time
    began = clock()
    with pytest.raises((Unavailable, OutcomeUnknown)) as failed:
        await etcd.txn((), [Put(b"%d" % number, b"")])
    return failed.type, clock() - began


def test_writes_that_wait_for_others_fail_in_the_same_time() -> None:
    async def scenario() -> Any:
        etcd = etcd_connected_after(0)
        return await asyncio.gather(*(write(etcd, number) for number in range(5 * MAX_IN_FLIGHT)))

    found = run_virtual(scenario())
    assert max(seconds for _, seconds in found) == pytest.approx(WRITE_SECONDS)
    assert [kind for kind, _ in found].count(OutcomeUnknown) == MAX_IN_FLIGHT
    assert {kind for kind, _ in found} == {OutcomeUnknown, Unavailable}


@pytest.mark.parametrize("seconds", [0.0, 1.0, 2.9, 3.1, 60.0])
def test_the_time_to_connect_is_part_of_it(seconds: float) -> None:
    _, took = run_virtual(write(etcd_connected_after(seconds), 1))
    assert took <= WRITE_SECONDS + 0.001
