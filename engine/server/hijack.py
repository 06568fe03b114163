"""Connections that are taken over from HTTP: raw bytes in both directions, as `attach` and `exec` have them.

Docker takes the connection of the request ("hijacks" it). The two directions end one by one: clients end their input
with or without need, and the output goes on.
"""

import asyncio
from collections.abc import Mapping
from typing import Protocol

from aiohttp import web

from engine.protocol.frames import EMPTY_FRAME
from engine.server.peer_sockets import SHUT_DOWN, head_read, is_hung_up, unread_bytes

MULTIPLEXED = "application/vnd.docker.multiplexed-stream"
RAW = "application/vnd.docker.raw-stream"

_INPUT_BYTES = 256 * 1024
"""Input that is kept for a slow program; then the socket is not read."""
_CLOSE_SECONDS = 2.0
"""How long the client may take to close its end, so that the output is not cut off; and to read some of it."""
_READ_PAUSE_SECONDS = 0.003
_MUCH_OUTPUT = 64 * 1024
_COPY_SECONDS = 0.1
"""For a client that has read much output to write it where it is to go: only then the end of the program is told."""
_PROBE_SECONDS = 3.0
"""How often a client that has ended its input is looked after: no further input shows that it is gone."""


class RawStream(Protocol):
    """What a program is connected to."""

    async def read(self) -> bytes:
        """What the client has sent; empty at the end of its input."""

    async def write(self, data: bytes) -> None:
        """Send; waits while the client reads more slowly.

        Raises:
            ConnectionError: it is gone.
        """

    async def end_output(self) -> None:
        """Send the end of the output; returns when the client has read it all, or reads nothing."""

    async def close(self) -> None:
        """End the output, and the connection once the client has ended its input."""


class HijackedConnection(asyncio.Protocol):
    """The protocol of a connection in place of aiohttp's, which learns only of the connection's end.

    aiohttp cancels the handler then; so a handler may wait for whatever it waits for.

    Args:
        in_frames: each write is of whole frames, so an empty one may stand between them.
    """

    def __init__(self, transport: asyncio.Transport, http: asyncio.BaseProtocol, *, in_frames: bool) -> None:
        self._transport = transport
        self._http = http
        self._in_frames = in_frames
        self._input = bytearray()
        self._input_ended = False
        self._readable = asyncio.Event()
        self._writable = asyncio.Event()
        self._writable.set()
        self._is_head_read = False
        self._lost = asyncio.Event()
        self._closing = False
        self._written = 0
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
            await head_read(self._transport)
            self._is_head_read = True
        await self._writable.wait()
        if self._lost.is_set():
            raise ConnectionResetError("the client is gone")
        self._written += len(data)
        self._transport.write(data)

    async def end_output(self) -> None:
        if self._closing:
            return
        self._closing = True
        self._input.clear()
        if self._lost.is_set():
            return
        self._transport.resume_reading()
        if self._transport.can_write_eof():
            self._transport.write_eof()
        await self._output_read()

    async def close(self) -> None:
        await self.end_output()
        if not self._input_ended:
            try:
                async with asyncio.timeout(_CLOSE_SECONDS):
                    await self._readable_end()
            except TimeoutError:
                pass
        self._transport.close()

    async def _output_read(self) -> None:
        """Until the client has read the output, as far as the kernel tells that, unless it reads nothing."""
        loop = asyncio.get_running_loop()
        rest, progress_at = -1, loop.time()
        while not self._lost.is_set():
            now = self._transport.get_write_buffer_size() + unread_bytes(self._transport)
            if now != rest:
                rest, progress_at = now, loop.time()
            if not rest or loop.time() - progress_at > _CLOSE_SECONDS:
                break
            await asyncio.sleep(_READ_PAUSE_SECONDS)
        if self._written >= _MUCH_OUTPUT and not self._lost.is_set():
            await asyncio.sleep(_COPY_SECONDS)

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
        """A socket that was shut down by its peer in one direction says nothing when the other one follows.

        Over TLS clients end their input by close_notify, and shut their socket down when they end. What is sent then is
        answered by a reset, if they are gone.
        """
        if self._lost.is_set():
            return
        if is_hung_up(self._transport):
            self._transport.abort()
            return
        if self._in_frames and self._transport.get_extra_info(SHUT_DOWN) and self._writable.is_set():
            self._transport.write(EMPTY_FRAME)
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

    async def end_output(self) -> None:
        self._transport.close()

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
    transport = _open_transport(request)
    upgrade = "upgrade" in request.headers
    stream: RawStream
    if not upgrade and request.headers.get("transfer-encoding", "").lower() == "chunked":
        stream = ChunkedConnection(request, transport)
    else:
        connection = HijackedConnection(transport, transport.get_protocol(), in_frames=content_type == MULTIPLEXED)
        transport.set_protocol(connection)
        stream = connection
    transport.write(_head(content_type, headers, upgrade=upgrade))
    transport.resume_reading()
    return stream


def upgrade(request: web.BaseRequest, protocol: str, headers: Mapping[str, str]) -> RawStream:
    """Take the connection of a request over for another protocol.

    Args:
        protocol: its name in `Upgrade`.
        headers: of every answer.
    Raises:
        ConnectionError: the client is gone.
    """
    transport = _open_transport(request)
    connection = HijackedConnection(transport, transport.get_protocol(), in_frames=False)
    transport.set_protocol(connection)
    lines = ["HTTP/1.1 101 Switching Protocols", "Connection: Upgrade", f"Upgrade: {protocol}"]
    lines += [f"{key}: {headers[key]}" for key in headers]
    transport.write(("\r\n".join(lines) + "\r\n\r\n").encode())
    transport.resume_reading()
    return connection


def _open_transport(request: web.BaseRequest) -> asyncio.Transport:
    transport = request.transport
    if transport is None or transport.is_closing():
        raise ConnectionResetError("the client is gone")
    return transport


def _head(content_type: str, headers: Mapping[str, str], *, upgrade: bool) -> bytes:
    if upgrade:
        lines = ["HTTP/1.1 101 UPGRADED", f"Content-Type: {content_type}", "Connection: Upgrade", "Upgrade: tcp"]
    else:
        lines = ["HTTP/1.1 200 OK", f"Content-Type: {content_type}"]
    lines += [f"{key}: {headers[key]}" for key in headers]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()
