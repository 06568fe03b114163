"""Files that a client sends by fsutil's protocol (github.com/tonistiigi/fsutil).

The client tells of all files in their order; their contents are asked for in that order too, so many ahead that the
connection is never idle, and no more than memory is to be had for.
"""

import asyncio
import posixpath
from collections import deque
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from typing import Any
from urllib.parse import quote_plus

import grpc

from engine.buildkit.session.client_session import ClientSession
from engine.buildkit.translation.sent_files import has_content, is_regular
from engine.buildkit.v1.filesync_pb2_grpc import FileSyncStub
from engine.buildkit.v1.fsutil_pb2 import Packet, Stat
from shoal.errors import Exhausted, InvalidInput, NotFound, Unavailable

METHOD = "/moby.filesync.v1.FileSync/DiffCopy"
MAX_FILES = 2_000_000
MAX_LIST_BYTES = 128 << 20
"""Of what is listed of files."""
MAX_TEXTS = 100
AHEAD_BYTES = 8 << 20
"""Of contents that were asked for and not passed on."""
AHEAD_FILES = 64


class _Content:
    """Of a file that was asked for; what is more than its size is dropped."""

    def __init__(self, size: int) -> None:
        self.is_complete = False
        self.waiting_bytes = 0
        self._pieces: deque[bytes] = deque()
        self._left = size

    def add(self, data: bytes) -> None:
        kept = data[: self._left]
        self._left -= len(kept)
        if kept:
            self._pieces.append(kept)
            self.waiting_bytes += len(kept)

    def next_piece(self) -> bytes:
        """The next piece."""
        piece = self._pieces.popleft()
        self.waiting_bytes -= len(piece)
        return piece


class FileReceiver:
    """One transfer. An asynchronous context manager: leaving it ends the transfer.

    Args:
        directory: its name in the session, "context".
        follow: only these paths, and what they are links to. exclude: patterns, as in .dockerignore.
    Raises:
        NotFound: the client sends no files.
    """

    def __init__(
        self, session: ClientSession, directory: str, *, follow: Sequence[str] = (), exclude: Sequence[str] = ()
    ) -> None:
        if not session.serves(METHOD):
            raise NotFound("no local sources enabled")
        self._directory = directory
        stub: Any = FileSyncStub(session.channel)
        self._call: Any = stub.DiffCopy(metadata=_metadata(directory, follow, exclude))
        self._stats: list[Stat] = []
        self._list_bytes = 0
        self._is_listed = False
        self._is_finished = False
        self._contents: dict[int, _Content] = {}
        self._ahead_bytes = 0
        self._changed = asyncio.Event()
        self._reading: asyncio.Task[None] | None = None

    async def __aenter__(self) -> "FileReceiver":
        self._reading = asyncio.create_task(self._read())
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.gather(self._reading, return_exceptions=True)
        self._call.cancel()

    async def stats(self) -> AsyncGenerator[tuple[int, Stat]]:
        """All files with their numbers, in their order, as the client lists them.

        Raises:
            InvalidInput: what the client sends is not of the protocol. Unavailable: it has gone, or cannot read a file.
            Exhausted: there are too many files.
        """
        at = 0
        while await self._is_there(at):
            yield at, self._stats[at]
            at += 1

    async def contents(self, numbers: Sequence[int]) -> AsyncGenerator[tuple[Stat, AsyncGenerator[bytes]]]:
        """Contents of files, each in pieces, in this order; then the transfer ends. Once, after `stats`.

        Args:
            numbers: of files.
        Raises:
            As `stats`.
        """
        asked = 0
        for at, number in enumerate(numbers):
            asked = await self._ask_ahead(numbers, at, asked)
            stat = self._stats[number]
            yield stat, self._content(number)
            if self._contents.pop(number, None) is not None:
                self._ahead_bytes -= stat.size
        await self._call.write(Packet(type=Packet.PACKET_FIN))
        await self._until(lambda: self._is_finished)

    async def texts(self, max_bytes: int) -> Mapping[str, bytes]:
        """Contents of the files by path; a link has those of what it refers to.

        Raises:
            As `stats`; Exhausted: one is larger.
        """
        numbers: list[int] = []
        links: dict[str, str] = {}
        async with aclosing(self.stats()) as stats:
            async for number, stat in stats:
                if number > MAX_TEXTS:
                    raise InvalidInput("the client has sent files that were not requested")
                if not is_regular(stat) or stat.linkname:
                    links |= {stat.path: stat.linkname} if stat.linkname else {}
                    continue
                if stat.size > max_bytes:
                    raise Exhausted(f"{stat.path[:200]} is too large; the maximum is {max_bytes:,} bytes")
                numbers.append(number)
        found: dict[str, bytes] = {}
        async with aclosing(self.contents(numbers)) as contents:
            async for stat, pieces in contents:
                found[stat.path] = b"".join([piece async for piece in pieces])
        for path in links:
            target = _followed(path, links)
            if target in found:
                found[path] = found[target]
        return found

    async def _ask_ahead(self, numbers: Sequence[int], at: int, asked: int) -> int:
        """How many were asked for."""
        while asked < len(numbers):
            stat = self._stats[numbers[asked]]
            if has_content(stat):
                fits = self._ahead_bytes + stat.size <= AHEAD_BYTES and len(self._contents) < AHEAD_FILES
                if asked > at and not fits:
                    break
                self._contents[numbers[asked]] = _Content(stat.size)
                self._ahead_bytes += stat.size
                await self._call.write(Packet(type=Packet.PACKET_REQ, id=numbers[asked]))
            asked += 1
        return asked

    async def _is_there(self, at: int) -> bool:
        await self._until(lambda: at < len(self._stats) or self._is_listed)
        return at < len(self._stats)

    async def _content(self, number: int) -> AsyncGenerator[bytes]:
        content = self._contents.get(number)
        while content is not None:
            await self._until(lambda: content.waiting_bytes > 0 or content.is_complete)
            while content.waiting_bytes:
                yield content.next_piece()
            if content.is_complete:
                return

    async def _until(self, holds: Callable[[], bool]) -> None:
        while not holds():
            if self._reading is not None and self._reading.done():
                self._reading.result()
                raise Unavailable("the client has ended the transfer of files")
            self._changed.clear()
            await self._changed.wait()

    async def _read(self) -> None:
        try:
            async for packet in self._call:
                await self._take(packet)
                self._changed.set()
                if self._is_finished:
                    return
        except grpc.RpcError as error:
            raise _error_of(error, self._directory) from error
        finally:
            self._changed.set()

    async def _take(self, packet: Packet) -> None:
        if packet.type == Packet.PACKET_STAT:
            self._list(packet)
        elif packet.type == Packet.PACKET_DATA:
            await self._received(packet)
        elif packet.type == Packet.PACKET_FIN:
            self._is_finished = True
        elif packet.type == Packet.PACKET_ERR:
            raise Unavailable(f"error from sender: {packet.data.decode(errors='replace')[:1000]}")
        else:
            raise InvalidInput("the client has sent a packet that only receivers send")

    def _list(self, packet: Packet) -> None:
        if not packet.HasField("stat"):
            self._is_listed = True
        elif len(self._stats) >= MAX_FILES or self._list_bytes > MAX_LIST_BYTES:
            raise Exhausted("the context has too many files; leave some out with a .dockerignore file")
        else:
            self._stats.append(packet.stat)
            self._list_bytes += packet.stat.ByteSize()

    async def _received(self, packet: Packet) -> None:
        content = self._contents.get(packet.id)
        if content is None or content.is_complete:
            raise InvalidInput(f"invalid file request {packet.id}")
        if not packet.data:
            content.is_complete = True
            return
        content.add(packet.data)
        while len(self._contents) == 1 and content.waiting_bytes > AHEAD_BYTES:
            self._changed.set()
            await asyncio.sleep(0.002)  # a large file, which the node takes more slowly than it comes


def _metadata(directory: str, follow: Sequence[str], exclude: Sequence[str]) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for key, values in (("dir-name", [directory]), ("followpaths", follow), ("exclude-patterns", exclude)):
        encoded = not all(map(str.isascii, values))
        found += [(key, quote_plus(each) if encoded else each) for each in values]
        if encoded:
            found.append((f"{key}-encoded", "1"))
    return found


def _followed(path: str, links: Mapping[str, str]) -> str:
    """What a link refers to in the end, as far as it is told."""
    for _ in range(len(links)):
        if path not in links:
            break
        target = links[path]
        path = posixpath.normpath(posixpath.join("" if target.startswith("/") else posixpath.dirname(path), target))
        path = path.lstrip("/")
    return path


def _error_of(error: grpc.RpcError, directory: str) -> Exception:
    code, text = getattr(error, "code", lambda: None)(), getattr(error, "details", lambda: "")() or str(error)
    if code is grpc.StatusCode.NOT_FOUND or "no access allowed" in text:
        return NotFound(f"the client gives no directory {directory[:80]!r}: {text[:500]}")
    return Unavailable(f"the client's files cannot be read: {text[:1000]}")
