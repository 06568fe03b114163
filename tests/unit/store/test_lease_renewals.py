"""Renewals of a lease by a process that was stopped for a while."""

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import grpc
import pytest
from grpc import aio

from manager.etcd.client import Etcd
from manager.etcd.members import Member, Members
from manager.etcd.v3 import etcd_pb2 as rpc

INTERNAL = grpc.StatusCode.INTERNAL


def failure(code: grpc.StatusCode) -> aio.AioRpcError:
    return aio.AioRpcError(code, aio.Metadata(), aio.Metadata(), "the call has ended")


class EndedCall:
    """Its deadline passed before anything was sent."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    async def write(self, _: object) -> None:
        raise self._error

    async def initial_metadata(self) -> aio.Metadata:
        return aio.Metadata()

    async def read(self) -> object:
        raise failure(grpc.StatusCode.DEADLINE_EXCEEDED)

    def cancel(self) -> None:
        pass


class AnsweredCall(EndedCall):
    def __init__(self) -> None:
        pass

    async def write(self, _: object) -> None:
        pass

    async def read(self) -> object:
        return rpc.LeaseKeepAliveResponse(ID=7, TTL=3)


@pytest.mark.parametrize("error", [asyncio.InvalidStateError("RPC already finished."), failure(INTERNAL)])
def test_a_renewal_whose_deadline_has_passed_is_made_again(error: Exception) -> None:
    async def scenario() -> None:
        calls = [EndedCall(error), AnsweredCall()]
        async with aio.insecure_channel("ipv4:192.0.2.1:2379") as channel:
            member = Member("etcd", channel)
            member.leases = cast(Any, SimpleNamespace(LeaseKeepAlive=lambda timeout: calls.pop(0)))
            member.is_connected = lambda: True  # type: ignore[method-assign]
            assert await Etcd(members=Members([member])).keep_alive(7) == 3
        assert not calls

    asyncio.run(scenario())
