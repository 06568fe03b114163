"""Connections above the bound are ended at once, those below it are served."""

import asyncio
from contextlib import suppress

import pytest
from aiohttp import web

from console.server import listener
from console.server.listener import listen, serving
from shoal.errors import Unavailable

REQUEST = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"


async def _hello(_: web.Request) -> web.Response:
    return web.Response(text="hello")


async def _answer(port: int) -> tuple[bytes, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    found = b""
    with suppress(ConnectionError):
        writer.write(REQUEST)
        found = await reader.read(15)
    return found, writer


def test_a_bound_of_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener, "MAX_CONNECTIONS", 2)

    async def run() -> None:
        app = web.Application()
        app.router.add_get("/", _hello)
        socket = listen("127.0.0.1", 0)
        port = socket.getsockname()[1]
        async with asyncio.timeout(60), serving(app, socket, None):
            answers = [await _answer(port) for _ in range(3)]
            assert [answer for answer, _ in answers] == [b"HTTP/1.1 200 OK"] * 2 + [b""]
            for _, writer in answers:
                writer.close()
                with suppress(ConnectionError):
                    await writer.wait_closed()

    asyncio.run(run())


def test_an_address_that_is_taken() -> None:
    with listen("127.0.0.1", 0) as first, pytest.raises(Unavailable, match="cannot listen on"):
        listen("127.0.0.1", first.getsockname()[1])
