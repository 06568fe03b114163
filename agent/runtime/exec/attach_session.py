"""Attach sessions to a container's main process, by conmon's socket.

Several clients may be attached at once, and the log is complete in any case.

Source: conmon.c and conn_sock.c (`--full-attach`): a socket of SOCK_SEQPACKET in the bundle. A packet from it has the
stream's number as its first octet, 2 or 3; packets to it are standard input.
"""

import asyncio
import contextlib
import errno
import json
import os
import socket
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable
from pathlib import Path

from agent.runtime.exec.exec_streams import StdStream
from agent.runtime.exec.session_limits import SessionLimits
from agent.runtime.supervision.conmon import resize_terminal
from shoal.errors import Exhausted, NotFound

MAX_BUFFERED = 1 << 20
"""Output that is buffered for a caller that does not read it."""

MAX_SESSIONS = 128
MAX_SESSIONS_PER_CONTAINER = 16

_PACKET = 1 << 16
_INPUT = 4096
"""Bytes of standard input in a packet: conmon drops what exceeds its buffer."""

_STREAMS = {2: StdStream.STDOUT, 3: StdStream.STDERR}


class AttachSessions:
    """Counts attach sessions and limits them: conmon writes to each of them, and each buffers up to a MiB."""

    def __init__(self) -> None:
        self._limits = SessionLimits(
            per_container=MAX_SESSIONS_PER_CONTAINER, per_node=MAX_SESSIONS, plural="attach sessions"
        )

    def attach(
        self, bundle: Path, *, code: Callable[[], Awaitable[int]], send: Callable[[int], None]
    ) -> "AttachSession":
        """A new `AttachSession`. Raises Exhausted if there are too many, NotFound if the container has exited."""
        closed = self._limits.open(bundle.name)
        try:
            return AttachSession(bundle, code=code, send=send, on_close=closed)
        except BaseException:
            closed()
            raise


class AttachSession:
    """A session at a container's main process, which continues when the session ends, and never waits for it.

    conmon writes to attached clients before it continues with the program's output, so output is received at once.

    Args:
        bundle: of the container.
        code: awaits its exit code.
        send: sends a signal to its first process.
        on_close: called once, when the session is closed.
    Raises:
        NotFound: the container has exited.
    """

    def __init__(
        self,
        bundle: Path,
        *,
        code: Callable[[], Awaitable[int]],
        send: Callable[[int], None],
        on_close: Callable[[], None],
    ) -> None:
        self._bundle = bundle
        self._on_close: Callable[[], None] | None = on_close
        self._code = code
        self._send = send
        try:
            self._has_terminal: bool = json.loads((bundle / "config.json").read_text())["process"]["terminal"]
            self._socket = _connect(bundle)
        except OSError:
            raise NotFound(f"task {bundle.name} is not running") from None
        self._buffer: deque[tuple[StdStream, bytes]] = deque()
        self._buffered_bytes = 0
        self._readable = asyncio.Event()
        self._open = True
        asyncio.get_running_loop().add_reader(self._socket, self._receive)

    async def output(self) -> AsyncGenerator[tuple[StdStream, bytes]]:
        """Output from now on, until the container exits.

        Raises:
            Exhausted: the caller did not read it fast enough.
        """
        while True:
            while self._buffer:
                stream, piece = self._buffer.popleft()
                self._buffered_bytes -= len(piece)
                yield stream, piece
            if self._buffered_bytes < 0:
                raise Exhausted("detached: output was not read fast enough; the log of the task is complete")
            if not self._open:
                return
            self._readable.clear()
            await self._readable.wait()

    async def write(self, data: bytes) -> None:
        """Write to its standard input, if it is open; returns when conmon has received all of it."""
        rest = memoryview(data)
        while rest and self._open:
            try:
                rest = rest[self._socket.send(rest[:_INPUT]) :]
            except BlockingIOError:
                await _wait_writable(self._socket)
            except OSError as error:
                if error.errno not in (errno.EPIPE, errno.ECONNRESET):
                    raise
                return

    def close_input(self) -> None:
        """End its standard input, unless that stays open for other sessions (conmon, `--leave-stdin-open`), or is a
        terminal."""
        if self._open and not self._has_terminal:
            with contextlib.suppress(OSError):  # it has exited
                self._socket.shutdown(socket.SHUT_WR)

    def resize(self, columns: int, rows: int) -> None:
        """Resize its terminal, if it has one."""
        if self._has_terminal:
            resize_terminal(self._bundle, columns, rows)

    def signal(self, number: int) -> None:
        """Signal its first process."""
        self._send(number)

    async def exit_code(self) -> int:
        """Its exit code."""
        return await self._code()

    async def close(self) -> None:
        """Detach."""
        self._disconnect()
        self._socket.close()
        if self._on_close is not None:
            self._on_close()
            self._on_close = None

    def _receive(self) -> None:
        try:
            packet = self._socket.recv(_PACKET)
        except BlockingIOError:
            return
        except OSError:
            packet = b""
        if not packet:
            self._disconnect()
        elif (stream := _STREAMS.get(packet[0])) is not None:
            self._buffer.append((stream, packet[1:]))
            self._buffered_bytes += len(packet) - 1
            if self._buffered_bytes > MAX_BUFFERED:
                self._buffer.clear()
                self._buffered_bytes = -1
                self._disconnect()
        self._readable.set()

    def _disconnect(self) -> None:
        if self._open:
            self._open = False
            asyncio.get_running_loop().remove_reader(self._socket)
            with contextlib.suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)
            self._readable.set()


def _connect(bundle: Path) -> socket.socket:
    """By descriptor: the address of a socket holds 107 bytes (unix(7))."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        directory = os.open(bundle, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            connection.connect(f"/proc/self/fd/{directory}/attach")
        finally:
            os.close(directory)
    except OSError:
        connection.close()
        raise
    connection.setblocking(False)
    return connection


async def _wait_writable(connection: socket.socket) -> None:
    loop, ready = asyncio.get_running_loop(), asyncio.Event()
    loop.add_writer(connection, ready.set)
    try:
        await ready.wait()
    finally:
        loop.remove_writer(connection)
