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
import struct
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable
from pathlib import Path

from agent.runtime.exec.exec_streams import StdStream
from agent.runtime.exec.session_limits import SessionLimits
from agent.runtime.supervision.conmon import resize_terminal
from shoal.errors import Exhausted, NotFound

MAX_BUFFERED = 1 << 18
"""Output that is buffered for a caller that reads it more slowly; then the program waits for it."""

STALL_SECONDS = 10.0
"""A caller for which the program waits, and that takes nothing for so long, is detached."""

MAX_SESSIONS = 512
MAX_SESSIONS_PER_CONTAINER = 256

_PACKET = 1 << 16
_PACKETS_AT_ONCE = 16

_MUCH = 4096
_GATHER_SECONDS = 0.002
"""A program that writes much is read in larger pieces: conmon's packets have 8 KiB at most, and every piece costs a
message on each hop to the caller."""

_INPUT = 4096
"""Bytes of standard input in a packet: conmon drops what exceeds its buffer."""

_CONNECT_TIME = struct.pack("ll", 0, 100_000)
"""A `timeval` of 0.1 seconds: a conmon that runs accepts within one millisecond."""

_STREAMS = {2: StdStream.STDOUT, 3: StdStream.STDERR}


class AttachSessions:
    """Counts attach sessions and limits them: conmon writes to each of them, and each has a buffer."""

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
    """A session at a container's main process, which continues when the session ends.

    conmon writes to attached clients before it continues with the program's output: so no byte is lost while a caller
    reads more slowly than the program writes, and the program waits for it. It does not wait for a caller that reads
    nothing.

    Args:
        bundle: of the container.
        code: awaits its exit code.
        send: sends a signal to its first process.
        on_close: called once, when the session is closed.
    Raises:
        NotFound: the container has exited. Exhausted: more connect at once than conmon accepts, or it hangs.
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
        except BlockingIOError:
            raise Exhausted(
                f"the supervisor (conmon) of task {bundle.name} accepts no sessions now; try again"
            ) from None
        except OSError:
            raise NotFound(f"task {bundle.name} is not running") from None
        self._buffer: deque[tuple[StdStream, bytes]] = deque()
        self._buffered_bytes = 0
        self._readable = asyncio.Event()
        self._open = True
        self._stall: asyncio.TimerHandle | None = None
        asyncio.get_running_loop().add_reader(self._socket, self._receive)

    async def output(self) -> AsyncGenerator[tuple[StdStream, bytes]]:
        """Output from now on, until the container exits.

        Raises:
            Exhausted: the caller took nothing for `STALL_SECONDS`.
        """
        while True:
            while self._buffer:
                taken = self._taken()
                yield taken
                if len(taken[1]) >= _MUCH and self._buffered_bytes < MAX_BUFFERED // 2 and self._open:
                    await asyncio.sleep(_GATHER_SECONDS)
            if self._buffered_bytes < 0:
                raise Exhausted("detached: output was not read; the log of the task is complete")
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

    def _taken(self) -> tuple[StdStream, bytes]:
        """What is buffered, up to the next piece of the other stream; the caller has made progress."""
        stream, piece = self._buffer.popleft()
        pieces, size = [piece], len(piece)
        while self._buffer and self._buffer[0][0] is stream and size < MAX_BUFFERED:
            pieces.append(self._buffer.popleft()[1])
            size += len(pieces[-1])
        data = b"".join(pieces) if len(pieces) > 1 else piece
        self._buffered_bytes -= size
        self._resume()
        return stream, data

    def _receive(self) -> None:
        for _ in range(_PACKETS_AT_ONCE):
            try:
                packet = self._socket.recv(_PACKET)
            except BlockingIOError:
                break
            except OSError:
                packet = b""
            self._readable.set()
            if not packet:
                self._disconnect()
                return
            if (stream := _STREAMS.get(packet[0])) is not None:
                self._buffer.append((stream, packet[1:]))
                self._buffered_bytes += len(packet) - 1
        self._pause()

    def _pause(self) -> None:
        """Receive no more until the caller has taken some, if so much is here."""
        if self._buffered_bytes >= MAX_BUFFERED:
            loop = asyncio.get_running_loop()
            loop.remove_reader(self._socket)
            self._stall = loop.call_later(STALL_SECONDS, self._give_up)

    def _resume(self) -> None:
        if self._stall is not None and self._open:
            self._stall.cancel()
            self._stall = None
            asyncio.get_running_loop().add_reader(self._socket, self._receive)
            self._pause()

    def _give_up(self) -> None:
        self._buffer.clear()
        self._buffered_bytes = -1
        self._disconnect()

    def _disconnect(self) -> None:
        if self._stall is not None:
            self._stall.cancel()
        if self._open:
            self._open = False
            asyncio.get_running_loop().remove_reader(self._socket)
            with contextlib.suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)
            self._readable.set()


def _connect(bundle: Path) -> socket.socket:
    """By descriptor: the address of a socket holds 107 bytes (unix(7)).

    Raises BlockingIOError if conmon accepts nothing for a moment: one that hangs would otherwise stop the event loop.
    """
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, _CONNECT_TIME)
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
