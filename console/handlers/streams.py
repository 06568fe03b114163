"""WebSockets: one sender, a bound for all of them, and an end with the session."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, suppress
from datetime import datetime

from aiohttp import WSCloseCode, WSMsgType, web

from console.json_text import encode
from console.server.http_app import SESSION
from console.server.json_answers import error_answer
from shoal.errors import Exhausted, ShoalError

MAX_STREAMS = 500
HEARTBEAT_SECONDS = 20.0
COMPRESSED_BYTES = 16 << 10
"""A message of more is worth compressing: a snapshot, lines of a log."""
SESSION_ENDED = 4401
"""Close code (RFC 6455 section 7.4.2: private use)."""


class Streams:
    """The open WebSockets of a console.

    Args:
        now: the clock, with a time zone.
    """

    def __init__(self, now: Callable[[], datetime]) -> None:
        self._now = now
        self._open: set[web.WebSocketResponse] = set()

    async def send_all(self, request: web.Request, messages: AsyncGenerator[str]) -> web.StreamResponse:
        """Open a WebSocket and send messages until they end, the browser leaves or its session is over.

        An error of the messages is the last one: {"type": "error", "error": TEXT}.
        """
        async with aclosing(messages):
            if len(self._open) >= MAX_STREAMS:
                return error_answer(Exhausted(f"too many open pages; the maximum is {MAX_STREAMS} streams"))
            socket = web.WebSocketResponse(heartbeat=HEARTBEAT_SECONDS, compress=True, max_msg_size=1 << 16)
            await socket.prepare(request)
            self._open.add(socket)
            try:
                await self._serve(request, socket, messages)
            finally:
                self._open.discard(socket)
            return socket

    async def _serve(self, request: web.Request, socket: web.WebSocketResponse, messages: AsyncGenerator[str]) -> None:
        left = (request[SESSION].until - self._now()).total_seconds()
        sending = asyncio.create_task(_send(socket, messages), name="stream to a browser")
        reading = asyncio.create_task(_read_until_closed(socket), name="a browser's side of a stream")
        try:
            done, _ = await asyncio.wait(
                {sending, reading}, timeout=max(0.0, left), return_when=asyncio.FIRST_COMPLETED
            )
        finally:
            for task in (sending, reading):
                task.cancel()
            await asyncio.gather(sending, reading, return_exceptions=True)
        with suppress(ConnectionError):
            if not done:
                await socket.close(code=SESSION_ENDED, message=b"the session has ended")
            await socket.close()

    async def close(self) -> None:
        """End all of them: the console stops."""
        for socket in list(self._open):
            with suppress(ConnectionError):
                await socket.close(code=WSCloseCode.GOING_AWAY, message=b"the console stops")


async def _send(socket: web.WebSocketResponse, messages: AsyncGenerator[str]) -> None:
    """Each message waits until the browser has read enough of those before it."""
    with suppress(ConnectionError):
        try:
            async for message in messages:
                await socket.send_str(message, compress=None if len(message) >= COMPRESSED_BYTES else 0)
        except ShoalError as error:
            await socket.send_str(encode({"type": "error", "error": str(error)}))


async def _read_until_closed(socket: web.WebSocketResponse) -> None:
    """What browsers say on these streams is nothing."""
    while (await socket.receive()).type not in (WSMsgType.CLOSE, WSMsgType.CLOSING, WSMsgType.CLOSED, WSMsgType.ERROR):
        pass
