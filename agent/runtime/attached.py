"""The other end of a container's own program, by conmon's socket. Others may be there too, and the log has all of it.

Source: conmon.c and conn_sock.c (`--full-attach`): a socket of SOCK_SEQPACKET in the bundle. A packet from it has the
stream's number as its first octet, 2 or 3; packets to it are standard input.
"""

import asyncio
import contextlib
import errno
import json
import os
import socket
from collections import Counter, deque
from collections.abc import AsyncGenerator, Awaitable, Callable
from pathlib import Path

from agent.runtime.conmon import resize_terminal
from agent.runtime.exec_streams import Stream
from shoal.errors import Exhausted, NotFound

MAX_WAITING = 1 << 20
"""Bytes that wait for a caller who does not take them."""

MAX_WATCHERS = 128
MAX_WATCHERS_OF_ONE = 16

_PACKET = 1 << 16
_INPUT = 4096
"""Bytes of standard input in a packet: what conmon has no room for is lost."""

_STREAMS = {2: Stream.STDOUT, 3: Stream.STDERR}


class Watchers:
    """Who is attached, so that there are not too many: conmon writes to each of them, and each keeps up to a MiB."""

    def __init__(self) -> None:
        self._attached: Counter[str] = Counter()

    def attach(self, bundle: Path, *, code: Callable[[], Awaitable[int]], send: Callable[[int], None]) -> "Attached":
        """As `Attached`. Raises Exhausted when too many are, NotFound when the container has ended."""
        task_id = bundle.name
        if (watchers := self._attached[task_id]) >= MAX_WATCHERS_OF_ONE:
            raise Exhausted(f"{watchers} users are attached to this container; one of them has to leave first")
        if (watchers := self._attached.total()) >= MAX_WATCHERS:
            raise Exhausted(f"{watchers} users are attached to containers of this node; one of them has to leave first")
        attached = Attached(bundle, code=code, send=send, on_end=lambda: self._left(task_id))
        self._attached[task_id] += 1
        return attached

    def _left(self, task_id: str) -> None:
        self._attached -= Counter({task_id: 1})


class Attached:
    """Whatever becomes of the caller, the program goes on, and it waits for nobody.

    conmon writes to who is attached before it goes on with the program's output, so what comes is taken at once.

    Args:
        bundle: of the container.
        code: awaits its exit code.
        send: sends its first process a signal.
        on_end: called once, when this end has left.
    Raises:
        NotFound: it has ended.
    """

    def __init__(
        self,
        bundle: Path,
        *,
        code: Callable[[], Awaitable[int]],
        send: Callable[[int], None],
        on_end: Callable[[], None],
    ) -> None:
        self._bundle = bundle
        self._on_end: Callable[[], None] | None = on_end
        self._code = code
        self._send = send
        try:
            self._has_terminal: bool = json.loads((bundle / "config.json").read_text())["process"]["terminal"]
            self._socket = _connect(bundle)
        except OSError:
            raise NotFound(f"task {bundle.name} does not run") from None
        self._waiting: deque[tuple[Stream, bytes]] = deque()
        self._waiting_bytes = 0
        self._news = asyncio.Event()
        self._open = True
        asyncio.get_running_loop().add_reader(self._socket, self._take)

    async def output(self) -> AsyncGenerator[tuple[Stream, bytes]]:
        """What it writes from now on, until it has ended.

        Raises:
            Exhausted: the caller did not take it.
        """
        while True:
            while self._waiting:
                stream, piece = self._waiting.popleft()
                self._waiting_bytes -= len(piece)
                yield stream, piece
            if self._waiting_bytes < 0:
                raise Exhausted("this end took too little of what the program writes; its log has the rest")
            if not self._open:
                return
            self._news.clear()
            await self._news.wait()

    async def write(self, data: bytes) -> None:
        """To its standard input, where that is open; returns when conmon has taken all of it."""
        rest = memoryview(data)
        while rest and self._open:
            try:
                rest = rest[self._socket.send(rest[:_INPUT]) :]
            except BlockingIOError:
                await _writable(self._socket)
            except OSError as error:
                if error.errno not in (errno.EPIPE, errno.ECONNRESET):
                    raise
                return

    def end_input(self) -> None:
        """It stays open for who comes next."""

    def resize(self, columns: int, rows: int) -> None:
        """Of its terminal; nothing without one."""
        if self._has_terminal:
            resize_terminal(self._bundle, columns, rows)

    def signal(self, number: int) -> None:
        """To its first process."""
        self._send(number)

    async def code(self) -> int:
        """Its exit code."""
        return await self._code()

    async def end(self) -> None:
        """Leave."""
        self._close()
        self._socket.close()
        if self._on_end is not None:
            self._on_end()
            self._on_end = None

    def _take(self) -> None:
        try:
            packet = self._socket.recv(_PACKET)
        except BlockingIOError:
            return
        except OSError:
            packet = b""
        if not packet:
            self._close()
        elif (stream := _STREAMS.get(packet[0])) is not None:
            self._waiting.append((stream, packet[1:]))
            self._waiting_bytes += len(packet) - 1
            if self._waiting_bytes > MAX_WAITING:
                self._waiting.clear()
                self._waiting_bytes = -1
                self._close()
        self._news.set()

    def _close(self) -> None:
        if self._open:
            self._open = False
            asyncio.get_running_loop().remove_reader(self._socket)
            with contextlib.suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)
            self._news.set()


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


async def _writable(connection: socket.socket) -> None:
    loop, ready = asyncio.get_running_loop(), asyncio.Event()
    loop.add_writer(connection, ready.set)
    try:
        await ready.wait()
    finally:
        loop.remove_writer(connection)
