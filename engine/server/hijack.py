"""Connections that are taken over from HTTP: raw bytes in both directions, as `attach` and `exec` have them.

Docker takes the connection of the request ("hijacks" it). The two directions end one by one: clients end their input
with or without need, and the output goes on.
"""

import asyncio
import fcntl
import select
import socket
import termios
from collections.abc import Mapping
from typing import Protocol

from aiohttp import web

MULTIPLEXED = "application/vnd.docker.multiplexed-stream"
RAW = "application/vnd.docker.raw-stream"

_INPUT_BYTES = 256 * 1024
"""Input that is kept for a slow program; then the socket is not read."""
_CLOSE_SECONDS = 2.0
"""How long the client may take to close its end, so that the output is not cut off."""
_PROBE_SECONDS = 3.0
"""How often a client that has ended its input is looked after: no further input shows that it is gone."""

_HEAD_CHECKS = 100
"""How often it is checked whether the client has read the head of the answer, before output follows in any case."""
_HEAD_PAUSE_SECONDS = 0.001


class RawStream(Protocol):
    """What a program is connected to."""

    async def read(self) -> bytes:
        """What the client has sent; empty at the end of its input."""

    async def write(self, data: bytes) -> None:
        """Send; waits while the client reads more slowly.

        Raises:
            ConnectionError: it is gone.
        """

    async def close(self) -> None:
        """End the output, and the connection once the client has taken it."""


class HijackedConnection(asyncio.Protocol):
    """The protocol of a connection in place of aiohttp's, which learns only of the connection's end.

    aiohttp cancels the handler then; so a handler may wait for whatever it waits for.
    """

    def __init__(self, transport: asyncio.Transport, http: asyncio.BaseProtocol) -> None:
        self._transport = transport
        self._http = http
        self._input = bytearray()
        self._input_ended = False
        self._readable = asyncio.Event()
        self._writable = asyncio.Event()
        self._writable.set()
        self._is_head_read = False
        self._lost = asyncio.Event()
        self._closing = False
        self._probe: asyncio.TimerHandle | None = None

    async def read(self) -> bytes:
        while not self._input and not self._input_ended:
            self._readable.clear()
            await self._readable.wait()
        data = bytes(self._input)
        self._input.clear()
        if not self._lost.is_set() and not self._input_ended:
            self._transport.resume_reading()
        return data

    async def write(self, data: bytes) -> None:
        if not self._is_head_read:
            await _head_read(self._transport)
            self._is_head_read = True
        await self._writable.wait()
        if self._lost.is_set():
            raise ConnectionResetError("the client is gone")
        self._transport.write(data)

    async def close(self) -> None:
        self._closing = True
        self._input.clear()
        if self._lost.is_set():
            return
        self._transport.resume_reading()
        if self._transport.can_write_eof():
            self._transport.write_eof()
        if not self._input_ended:
            try:
                async with asyncio.timeout(_CLOSE_SECONDS):
                    await self._readable_end()
            except TimeoutError:
                pass
        self._transport.close()

    async def _readable_end(self) -> None:
        while not self._input_ended and not self._lost.is_set():
            self._readable.clear()
            await self._readable.wait()

    def data_received(self, data: bytes) -> None:
        if self._closing:
            return
        self._input += data
        self._readable.set()
        if len(self._input) >= _INPUT_BYTES:
            self._transport.pause_reading()

    def eof_received(self) -> bool:
        self._input_ended = True
        self._readable.set()
        self._look_after()
        return True

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self._lost.set()
        self._input_ended = True
        self._readable.set()
        self._writable.set()
        if self._probe is not None:
            self._probe.cancel()
        if isinstance(self._http, asyncio.Protocol):
            self._http.connection_lost(exc)

    def _look_after(self) -> None:
        """A socket that was shut down by its peer in one direction says nothing when the other one follows."""
        if self._lost.is_set():
            return
        if is_hung_up(self._transport):
            self._transport.abort()
            return
        self._probe = asyncio.get_running_loop().call_later(_PROBE_SECONDS, self._look_after)


class ChunkedConnection:
    """Input by aiohttp's parser, which undoes the chunks of a request that is no upgrade; raw output."""

    def __init__(self, request: web.BaseRequest, transport: asyncio.Transport) -> None:
        self._request = request
        self._transport = transport

    async def read(self) -> bytes:
        return await self._request.content.readany()

    async def write(self, data: bytes) -> None:
        if self._transport.is_closing():
            raise ConnectionResetError("the client is gone")
        self._transport.write(data)
        await self._request.protocol._drain_helper()

    async def close(self) -> None:
        self._transport.close()


class HijackedResponse(web.StreamResponse):
    """What aiohttp is answered when a connection was taken over: nothing is to be sent, the connection ends."""

    def __init__(self) -> None:
        super().__init__()
        self.force_close()

    async def prepare(self, request: web.BaseRequest) -> None:
        return None

    async def write_eof(self, data: bytes = b"") -> None:
        return None


def hijack(request: web.BaseRequest, content_type: str, headers: Mapping[str, str]) -> RawStream:
    """Take the connection of a request over, and send the head of the answer.

    Args:
        content_type: of the stream, `MULTIPLEXED` or `RAW`.
        headers: of every answer.
    Raises:
        ConnectionError: the client is gone.
    """
    transport = request.transport
    if transport is None or transport.is_closing():
        raise ConnectionResetError("the client is gone")
    upgrade = "upgrade" in request.headers
    stream: RawStream
    if not upgrade and request.headers.get("transfer-encoding", "").lower() == "chunked":
        stream = ChunkedConnection(request, transport)
    else:
        connection = HijackedConnection(transport, transport.get_protocol())
        transport.set_protocol(connection)
        stream = connection
    transport.write(_head(content_type, headers, upgrade=upgrade))
    transport.resume_reading()
    return stream


def _head(content_type: str, headers: Mapping[str, str], *, upgrade: bool) -> bytes:
    if upgrade:
        lines = ["HTTP/1.1 101 UPGRADED", f"Content-Type: {content_type}", "Connection: Upgrade", "Upgrade: tcp"]
    else:
        lines = ["HTTP/1.1 200 OK", f"Content-Type: {content_type}"]
    lines += [f"{key}: {headers[key]}" for key in headers]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


async def _head_read(transport: asyncio.BaseTransport) -> None:
    """Wait a moment for the client to read what was sent to it, where the kernel tells that: on Unix sockets.

    Some clients (docker-py, and what is built on it) read the head with a buffer, then the output from the socket below
    it: output that comes with the head is lost to them.
    """
    for _ in range(_HEAD_CHECKS):
        if not _has_unread(transport):
            return
        await asyncio.sleep(_HEAD_PAUSE_SECONDS)


def _has_unread(transport: asyncio.BaseTransport) -> bool:
    """Whether the peer has yet to read something. False where that is not known."""
    peer = transport.get_extra_info("socket")
    if peer is None or peer.fileno() < 0 or peer.family != socket.AF_UNIX:
        return False
    return any(fcntl.ioctl(peer.fileno(), termios.TIOCOUTQ, bytes(4)))


def is_hung_up(transport: asyncio.BaseTransport) -> bool:
    """Whether the peer has closed its socket, or reset the connection."""
    own = transport.get_extra_info("socket")
    if own is None or own.fileno() < 0:
        return True
    poller = select.poll()
    poller.register(own.fileno(), 0)
    return any(events & (select.POLLHUP | select.POLLERR) for _, events in poller.poll(0))
