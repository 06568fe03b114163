"""WebSockets: a bound for all of them, and an end with the session."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing, suppress
from datetime import datetime

from aiohttp import WSCloseCode, WSMsgType, web

from console.json_text import encode
from console.server.http_app import SESSION
from console.server.json_answers import error_answer
from shoal.errors import Exhausted, ShoalError

MAX_STREAMS = 500
HEARTBEAT_SECONDS = 20.0
MAX_MESSAGE = 1 << 20
"""Bytes of a message of a browser: what is pasted into a terminal."""
COMPRESSED_CHARACTERS = 16 << 10
"""A message of more is worth compressing: a snapshot, lines of a log."""
SESSION_ENDED = 4401
"""Close code (RFC 6455 section 7.4.2: private use)."""
CLOSING = (WSMsgType.CLOSE, WSMsgType.CLOSING, WSMsgType.CLOSED, WSMsgType.ERROR)

Serve = Callable[[web.WebSocketResponse], Awaitable[None]]


class Streams:
    """The open WebSockets of a console.

    Args:
        now: the clock, with a time zone.
    """

    def __init__(self, now: Callable[[], datetime]) -> None:
        self._now = now
        self._open: set[web.WebSocketResponse] = set()

    async def serve(self, request: web.Request, serve: Serve) -> web.StreamResponse:
        """Open a WebSocket and serve it until that ends, or its session does.

        Args:
            serve: ends when the browser leaves. An error of it is the last message: {"type": "error", "error": TEXT}.
        """
        if len(self._open) >= MAX_STREAMS:
            return error_answer(Exhausted(f"too many open pages; the maximum is {MAX_STREAMS} streams"))
        socket = web.WebSocketResponse(heartbeat=HEARTBEAT_SECONDS, compress=True, max_msg_size=MAX_MESSAGE)
        await socket.prepare(request)
        self._open.add(socket)
        try:
            async with asyncio.timeout((request[SESSION].until - self._now()).total_seconds()):
                await _reporting_errors(socket, serve)
        except TimeoutError:
            await socket.close(code=SESSION_ENDED, message=b"the session has ended")
        finally:
            self._open.discard(socket)
        await socket.close()
        return socket

    async def send_all(self, request: web.Request, messages: AsyncGenerator[str]) -> web.StreamResponse:
        """Send messages until they end or the browser leaves."""

        async def send(socket: web.WebSocketResponse) -> None:
            await until_first_ends(_send(socket, messages), _read_until_closed(socket))

        async with aclosing(messages):
            return await self.serve(request, send)

    async def close(self) -> None:
        """End all of them: the console stops."""
        for socket in list(self._open):
            with suppress(ConnectionError):
                await socket.close(code=WSCloseCode.GOING_AWAY, message=b"the console stops")


async def until_first_ends(*sides: Awaitable[None]) -> None:
    """Run the sides of a stream until one of them ends; raise its error."""
    running = [asyncio.ensure_future(each) for each in sides]
    try:
        done, _ = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for each in running:
            each.cancel()
        await asyncio.gather(*running, return_exceptions=True)
    for each in done:
        each.result()


async def _reporting_errors(socket: web.WebSocketResponse, serve: Serve) -> None:
    with suppress(ConnectionError):
        try:
            await serve(socket)
        except ShoalError as error:
            await socket.send_str(encode({"type": "error", "error": str(error)}))


async def _send(socket: web.WebSocketResponse, messages: AsyncGenerator[str]) -> None:
    """Each message waits until the browser has read enough of those before it."""
    async for message in messages:
        await socket.send_str(message, compress=None if len(message) >= COMPRESSED_CHARACTERS else 0)


async def _read_until_closed(socket: web.WebSocketResponse) -> None:
    """What browsers say on these streams is nothing."""
    while (await socket.receive()).type not in CLOSING:
        pass
