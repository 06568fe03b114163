"""Builds by `POST /build` of version 2: what is left when a client leaves, or a build ends before it has read all."""

import asyncio
from typing import Any, cast

import pytest
from aiohttp import web

from engine.buildkit.session.client_session import ClientSessions
from engine.handlers.images.session_build_handlers import SessionBuilds
from engine.protocol.errors import ApiError
from engine.server.callers import local_caller
from engine.translate.images.build_request import BuildQuery
from shoal.identity.roles import Role

UPLOAD = BuildQuery({"buildid": ["upload-request:b"]})
BUILD = BuildQuery({"buildid": ["b"], "session": ["s"], "remote": ["upload-request"]})


class Client:
    """A call of a client, which may be gone before the answer."""

    caller = local_caller(Role.ADMIN)

    def __init__(self, *, is_gone: bool = False) -> None:
        self._is_gone = is_gone
        self.written: list[bytes] = []

    def boolean(self, name: str) -> bool:
        del name
        return False

    def empty(self, status: int) -> web.Response:
        return web.Response(status=status)

    async def stream(self) -> "Client":
        if self._is_gone:
            raise ConnectionResetError("the client is gone")
        return self

    async def write(self, data: bytes) -> None:
        self.written.append(data)


class Builder:
    """Builds until it is cancelled."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self.was_cancelled = False

    async def run(self, *_: object, ref: str) -> None:
        assert ref == "b"
        self.begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            self.was_cancelled = True


def builds(builder: Builder) -> SessionBuilds:
    return SessionBuilds(cast(Any, builder), ClientSessions())


async def upload(to: SessionBuilds) -> web.StreamResponse:
    return await to.build(cast(Any, Client()), UPLOAD)


def test_a_client_that_leaves_before_its_context_was_wanted_may_come_again() -> None:
    async def scenario() -> None:
        served = builds(Builder())
        for _ in range(2):
            sending = asyncio.create_task(upload(served))
            await asyncio.sleep(0)
            with pytest.raises(ApiError, match="has come already"):
                await upload(served)
            sending.cancel()
            await asyncio.wait([sending])
            assert sending.cancelled()

    asyncio.run(scenario())


def test_a_build_that_ends_without_its_context_keeps_nobody_waiting() -> None:
    async def scenario() -> None:
        builder = Builder()
        served = builds(builder)
        building = asyncio.create_task(served.build(cast(Any, Client()), BUILD))
        await builder.begun.wait()
        sending = asyncio.create_task(upload(served))
        await asyncio.sleep(0)
        building.cancel()
        async with asyncio.timeout(10):
            assert (await sending).status == 200

    asyncio.run(scenario())


def test_a_build_ends_whose_client_is_gone_before_its_first_line() -> None:
    async def scenario() -> None:
        builder = Builder()
        served = builds(builder)
        with pytest.raises(ConnectionResetError):
            await served.build(cast(Any, Client(is_gone=True)), BUILD)
        await asyncio.sleep(0)
        assert builder.was_cancelled or not builder.begun.is_set()

    asyncio.run(scenario())
