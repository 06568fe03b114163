"""Whether etcd has a majority, by the calls that need one."""

import asyncio
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any, cast

import grpc
import pytest
from grpc import aio

from manager.etcd import majority
from manager.etcd.majority import Majority
from manager.etcd.members import Members
from shoal.errors import Unavailable


def members(answer: Callable[..., Awaitable[object]]) -> Members:
    async def connected(_: float) -> object:
        return SimpleNamespace(kv=SimpleNamespace(Range=answer))

    return cast(Members, SimpleNamespace(connected=connected))


async def answers(_: object, timeout: float) -> None:
    pass


async def has_none(_: object, timeout: float) -> None:
    text = "etcdserver: request timed out"
    raise aio.AioRpcError(grpc.StatusCode.UNAVAILABLE, aio.Metadata(), aio.Metadata(), text)


async def never(*_: Any, **__: Any) -> None:
    raise AssertionError("etcd has just answered")


def test_what_has_just_answered_is_not_asked() -> None:
    async def scenario() -> None:
        for found in (Majority(members(never)), Majority(members(never))):
            await found.check()
            found.answered()
            await found.check()
            assert found.silent_seconds == 0

    asyncio.run(scenario())


def test_after_a_silence_it_is_asked_before_a_change(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(majority, "SILENT_SECONDS", 0.02)

    async def scenario() -> None:
        lost, back = Majority(members(has_none)), Majority(members(answers))
        for found in (lost, back):
            found.answered()
        await asyncio.sleep(0.05)
        assert lost.silent_seconds > 0.02
        with pytest.raises(Unavailable, match="nothing was changed"):
            await lost.check()
        await back.check()
        assert back.silent_seconds == 0

    asyncio.run(scenario())
