"""Reads and writes files of this node's containers for managers' calls, in threads.

What knows archives is imported when it is needed: most agents never use it, and it takes most of a megabyte.
"""

import asyncio
import errno
import os
import stat
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator, Iterator
from concurrent.futures import CancelledError as CancelledWork
from concurrent.futures import Future
from contextlib import AbstractAsyncContextManager, aclosing
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Protocol, TypeVar

from agent.archives.directory_listing import DirectoryEntry, directory_entries
from agent.archives.disk_budget import DiskBudget
from agent.archives.lookup import FoundFile, find, shown
from agent.archives.read_ahead import read_ahead
from agent.malloc_tuning import LargeBuffers
from agent.runtime.live.root_access import OpenRoot
from shoal.api.v1.engine_pb2 import (
    ArchiveChunk,
    ArchiveRequest,
    DirectoryEntries,
    PathChange,
    PathChanges,
    PathStat,
    WriteArchiveRequest,
)
from shoal.errors import Exhausted, InvalidInput, Refused, ShoalError, Unavailable

if TYPE_CHECKING:
    from agent.archives.tar_extract import ExtractOptions

T = TypeVar("T")

CHANGES_PER_BATCH = 1000
ENTRIES_PER_BATCH = 500
_FULL = (errno.ENOSPC, errno.EDQUOT)


class Roots(Protocol):
    """Opens containers' root file systems; `agent.runtime.oci_runtime.OciRuntime` is one."""

    def open_root(self, own_id: str) -> AbstractAsyncContextManager[OpenRoot]:
        """As `RootAccess.open`."""
        ...

    def open_below(self, opened: OpenRoot) -> AbstractAsyncContextManager[int]:
        """As `RootAccess.below`."""
        ...


class ContainerFiles:
    """The calls of `AgentContainers` about files."""

    def __init__(self, roots: Roots) -> None:
        self._roots = roots
        self._buffers = LargeBuffers()

    async def stat(self, request: ArchiveRequest) -> PathStat:
        """What a path is. Raises NotFound, InvalidInput, Refused, Exhausted, Unavailable."""
        async with self._roots.open_root(request.container) as opened:
            _require_present(opened, request.path)
            return await in_thread(partial(_stat, opened.root, request))

    def entries(self, request: ArchiveRequest) -> AsyncGenerator[DirectoryEntries]:
        """What is in a directory. Raises as `stat` does."""
        return read_ahead(self._entries(request))

    async def _entries(self, request: ArchiveRequest) -> AsyncGenerator[DirectoryEntries]:
        async with self._roots.open_root(request.container) as opened:
            _require_present(opened, request.path)
            async with aclosing(_each(_entry_batches(opened.root, request.path))) as found:
                async for batch in found:
                    yield batch

    def read(self, request: ArchiveRequest) -> AsyncGenerator[ArchiveChunk]:
        """A path's archive. Raises as `stat` does."""
        return read_ahead(self._read(request))

    async def _read(self, request: ArchiveRequest) -> AsyncGenerator[ArchiveChunk]:
        async with self._roots.open_root(request.container) as opened:
            _require_present(opened, request.path)
            with self._buffers.kept():
                async with aclosing(_each(_read(opened.root, request))) as found:
                    async for chunk in found:
                        yield chunk

    def export(self, container: str) -> AsyncGenerator[ArchiveChunk]:
        """The archive of a root file system. Raises as `stat` does."""
        return read_ahead(self._export(container))

    async def _export(self, container: str) -> AsyncGenerator[ArchiveChunk]:
        from agent.archives.tar_stream import archive_root

        async with self._roots.open_root(container) as opened:
            with self._buffers.kept():
                async with aclosing(_each(archive_root(opened.root))) as found:
                    async for chunk in found:
                        yield ArchiveChunk(data=chunk)

    def layer(self, container: str) -> AsyncGenerator[ArchiveChunk]:
        """What a container has changed, as an image's layer. Raises as `stat` does."""
        return read_ahead(self._layer(container))

    async def _layer(self, container: str) -> AsyncGenerator[ArchiveChunk]:
        async with self._roots.open_root(container) as opened, aclosing(_each(_layer(opened))) as found:
            async for chunk in found:
                yield chunk

    def changes(self, container: str) -> AsyncGenerator[PathChanges]:
        """What a container has changed. Raises as `stat` does."""
        return read_ahead(self._changes(container))

    async def _changes(self, container: str) -> AsyncGenerator[PathChanges]:
        async with (
            self._roots.open_root(container) as opened,
            self._roots.open_below(opened) as below,
            aclosing(_each(_change_batches(opened, below))) as found,
        ):
            async for batch in found:
                yield batch

    async def write(self, messages: AsyncIterator[WriteArchiveRequest]) -> None:
        """Unpack an archive. Raises as `stat` does; also PermissionDenied: see `extract`."""
        first = await anext(messages, None)
        if first is None or not first.HasField("target"):
            raise InvalidInput("the first message must have a target")
        from agent.archives.tar_extract import ExtractOptions

        async with self._roots.open_root(first.target.container) as opened:
            _require_present(opened, first.target.path)
            options = ExtractOptions(
                keep_kinds=first.no_overwrite_kind,
                owner=_owner(opened) if first.copy_owner else None,
                devices=first.devices,
            )
            feed = _Feed(messages, asyncio.get_running_loop())
            with self._buffers.kept():
                await in_thread(partial(_write, opened, first.target.path, feed.read, options), on_cancel=feed.abort)


class _Feed:
    """Bytes of messages for a thread."""

    def __init__(self, messages: AsyncIterator[WriteArchiveRequest], loop: asyncio.AbstractEventLoop) -> None:
        self._messages = messages
        self._loop = loop
        self._buffer = memoryview(b"")
        self._waiting: Future[bytes | None] | None = None
        self._aborted = False

    def read(self, size: int) -> bytes:
        """The next bytes, fewer only at the end."""
        if size <= len(self._buffer):
            found, self._buffer = self._buffer[:size], self._buffer[size:]
            return bytes(found)
        pieces = [bytes(self._buffer)]
        left, self._buffer = size - len(self._buffer), memoryview(b"")
        while left and (data := self._next()) is not None:
            view = memoryview(data)
            pieces.append(bytes(view[:left]))
            self._buffer, left = view[left:], max(0, left - len(view))
        return b"".join(pieces)

    def abort(self) -> None:
        """From the event loop: the caller is gone."""
        self._aborted = True
        if self._waiting is not None:
            self._waiting.cancel()

    def _next(self) -> bytes | None:
        if self._aborted:
            raise Unavailable("the call was cancelled")
        self._waiting = asyncio.run_coroutine_threadsafe(self._receive(), self._loop)
        try:
            return self._waiting.result()
        except CancelledWork:
            raise Unavailable("the call was cancelled") from None

    async def _receive(self) -> bytes | None:
        message = await anext(self._messages, None)
        return message.data if message is not None else None


def _stat(root: int, request: ArchiveRequest) -> PathStat:
    found = find(root, request.path, follow=request.follow)
    try:
        return _path_stat(found)
    finally:
        os.close(found.descriptor)


def _read(root: int, request: ArchiveRequest) -> Generator[ArchiveChunk]:
    from agent.archives.tar_stream import archive

    found = find(root, request.path, follow=request.follow)
    try:
        yield ArchiveChunk(stat=_path_stat(found))
        for chunk in archive(found):
            yield ArchiveChunk(data=chunk)
    finally:
        os.close(found.descriptor)


def _write(opened: OpenRoot, path: str, read: Callable[[int], bytes], options: "ExtractOptions") -> None:
    from agent.archives.tar_extract import extract

    disk = os.open(opened.upper, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        extract(opened.root, path, read, options, DiskBudget(disk))
    finally:
        os.close(disk)


def _change_batches(opened: OpenRoot, below: int) -> Generator[PathChanges]:
    from agent.archives.changes import ChangeKind, changes

    kinds = {
        ChangeKind.MODIFIED: PathChange.MODIFIED,
        ChangeKind.ADDED: PathChange.ADDED,
        ChangeKind.DELETED: PathChange.DELETED,
    }
    upper = os.open(opened.upper, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        found = changes(upper, below)
        while batch := [PathChange(kind=kinds[kind], path=path) for kind, path in islice(found, CHANGES_PER_BATCH)]:
            yield PathChanges(changes=batch)
    finally:
        os.close(upper)


def _layer(opened: OpenRoot) -> Generator[ArchiveChunk]:
    from agent.archives.tar_stream import archive_layer

    upper = os.open(opened.upper, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for chunk in archive_layer(upper):
            yield ArchiveChunk(data=chunk)
    finally:
        os.close(upper)


def _entry_batches(root: int, path: str) -> Generator[DirectoryEntries]:
    found = directory_entries(root, path)
    while batch := [_path_stat(each) for each in islice(found, ENTRIES_PER_BATCH)]:
        yield DirectoryEntries(entries=batch)


def _path_stat(found: FoundFile | DirectoryEntry) -> PathStat:
    status = found.status
    size = status.st_size if not stat.S_ISDIR(status.st_mode) else 4096
    return PathStat(
        name=found.name,
        size=size,
        mode=status.st_mode,
        modified_ns=status.st_mtime_ns,
        link_target=found.link_target,
    )


def _require_present(opened: OpenRoot, path: str) -> None:
    """Raises Refused, naming it, for a path in a volume that is not here."""
    for target in opened.absent:
        if f"{path.rstrip('/')}/".startswith(f"{target.rstrip('/')}/"):
            raise Refused(
                f"{shown(path)} is in a volume or directory of the host at {shown(target)}, which this node has only "
                "while the container runs; start it first"
            )


def _owner(opened: OpenRoot) -> tuple[int, int]:
    if opened.user is None:
        raise Refused("the container's user is not known: it has no such account, or was made by an earlier version")
    return opened.user


async def in_thread(work: Callable[[], T], *, on_cancel: Callable[[], None] = lambda: None) -> T:
    """Run it; on cancellation, wait for its end: it uses descriptors that are closed then."""
    running = asyncio.get_running_loop().run_in_executor(None, work)
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        on_cancel()
        await asyncio.wait([running])
        raise
    except OSError as error:
        raise _to_shoal_error(error) from error


async def _each(items: Generator[T]) -> AsyncGenerator[T]:
    """The items of a generator that runs in threads; none of them is None."""
    try:
        while (item := await in_thread(partial(_next, items))) is not None:
            yield item
    finally:
        await asyncio.to_thread(items.close)


def _next(items: Iterator[T]) -> T | None:
    return next(items, None)


def _to_shoal_error(error: OSError) -> ShoalError:
    if error.errno in _FULL:
        return Exhausted(f"the node's disk is full: {error.strerror}")
    return Unavailable(f"cannot use the container's files: {error.strerror}")
