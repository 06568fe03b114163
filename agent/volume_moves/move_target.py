"""Target side of a volume move: fetches, verifies and adopts the copy."""

import asyncio
import errno
import os
import time
from collections import Counter, defaultdict
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from grpc import RpcError, aio

from agent.safe_paths.disk_flush import fsync_directory
from agent.volume_moves.incoming_copy import IncomingCopy, delete_abandoned
from agent.volume_moves.move_source import DIRECTORY, interruptible_digest
from agent.volume_moves.tree_size import require_space
from agent.volume_moves.tree_writer import TreeWriter
from agent.volumes.local_volumes import LocalVolumes, volume_path
from shoal.api.v1.streams_pb2 import DropVolumeCopyRequest, FetchVolumeProgress, FetchVolumeRequest
from shoal.api.v1.volume_data_pb2 import ReadDigestRequest, ReadTreeRequest
from shoal.api.v1.volume_data_pb2_grpc import VolumeDataStub
from shoal.api.v1.volume_pb2 import LocalVolume
from shoal.errors import (
    Exhausted,
    InvalidInput,
    NotFound,
    PermissionDenied,
    Refused,
    ShoalError,
    Unauthenticated,
    Unavailable,
)
from shoal.fault_points.injection import fault
from shoal.identity.identity import Identity
from shoal.identity.roles import agent_server_name
from shoal.rpc.channel import connect_aio
from shoal.rpc.request_channel import RequestChannel
from shoal.rpc.status_mapping import to_shoal_error

if TYPE_CHECKING:
    from shoal.api.v1.volume_data_pb2_grpc import VolumeDataAsyncStub

CHECKPOINT_BYTES, CHECKPOINT_SECONDS = 256 << 20, 10.0
"""Interval of checkpoints: what is before a checkpoint is not sent again."""

REPORT_SECONDS = 0.5
CONNECT_SECONDS = 10.0
MAX_MISMATCHES = 3

Progress = AsyncGenerator[FetchVolumeProgress]


class MoveTarget:
    """Fetches volumes; one fetch per volume at a time.

    Args:
        identity: returns this node's identity; called for each connection, so that a renewed one is used.
    """

    def __init__(self, store: LocalVolumes, identity: Callable[[], Identity]) -> None:
        self._store = store
        self._identity = identity
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._mismatches: Counter[Path] = Counter()

    async def fetch(self, request: FetchVolumeRequest) -> Progress:
        """Start or continue the copy; the last message says that it is complete.

        Raises:
            Exhausted: the disk is full. Refused, InvalidInput: it is impossible on this node. Unavailable: try again.
        """
        self._validate(request)
        copy = IncomingCopy(self._store.directory, request.volume_id, request.slot, request.created_at_ms)
        async with self._locks[request.volume_id]:  # an earlier call whose caller has gone ends first
            try:
                async with self._source(request) as source:
                    async for progress in self._fetch(request, copy, source):
                        yield progress
                # Afterwards the source's copy is deleted: this one must survive a crash of the host.
                await asyncio.to_thread(fsync_directory, self._store.directory)
            except RpcError as error:
                raise _source_error(to_shoal_error(error, address=f"the agent at {request.from_address}")) from error
            except OSError as error:
                raise _disk_error(error) from error
        yield FetchVolumeProgress(bytes=request.offer.content_bytes, complete=True)

    async def delete_copy(self, request: DropVolumeCopyRequest) -> None:
        """Delete one copy, complete or not. Raises Unavailable if a container uses it, or if it was not deleted
        completely."""
        copy = IncomingCopy(self._store.directory, request.volume_id, request.slot, request.created_at_ms)
        async with self._locks[request.volume_id]:
            self._store.delete_copy(request.volume_id, request.slot, request.created_at_ms)
            fault("agent.volume-move.copy-deleted")
            await asyncio.to_thread(copy.delete)
            self._mismatches.pop(copy.path, None)

    def _validate(self, request: FetchVolumeRequest) -> None:
        """Raises Refused or InvalidInput if this node cannot have the volume."""
        volume = LocalVolume(name=request.name, slot=request.slot)
        path = volume_path(self._store.directory, volume)
        if not request.name or request.name.startswith(".") or path.parent != self._store.directory:
            raise InvalidInput(f"{request.name!r} is not a valid volume name")
        present = self._store.find(request.volume_id, request.slot)
        if present is None:
            if path.exists():
                raise Refused(f"{path} contains data of another volume with this name; move it away")
        elif present[1].created_at_ms != request.created_at_ms and not request.replace and _has_files(present[0]):
            raise Refused(
                "the node has older data of this volume; use `--replace` to delete it once the copy is complete"
            )

    async def _fetch(self, request: FetchVolumeRequest, copy: IncomingCopy, source: aio.Channel) -> Progress:
        present = self._store.find(request.volume_id, request.slot)
        if present is not None and present[1].created_at_ms == request.created_at_ms:
            async for progress in self._verify(request, present[0] / "_data", source):
                yield progress
            return
        await asyncio.to_thread(self._prepare, request, copy)
        fault("agent.volume-move.prepared")
        async for progress in _copy(request, copy, source):
            yield progress
        fault("agent.volume-move.copied")
        async for progress in self._verify(request, copy.data, source):
            yield progress
        fault("agent.volume-move.verified")
        volume = await asyncio.to_thread(copy.finish, request)
        fault("agent.volume-move.finished")
        self._store.adopt(copy.path, volume, replace=True)
        fault("agent.volume-move.adopted")

    def _prepare(self, request: FetchVolumeRequest, copy: IncomingCopy) -> None:
        delete_abandoned(self._store.directory, keep=copy.path)
        copy.make()
        require_space(self._store.directory, request.offer, copy.disk_bytes())

    async def _verify(self, request: FetchVolumeRequest, data: Path, source: aio.Channel) -> Progress:
        """Compare digests: both nodes read their data at the same time."""
        top, read = os.open(data, DIRECTORY), [0]

        def count_bytes(count: int) -> None:
            read[0] += count

        digest_request = ReadDigestRequest(volume_id=request.volume_id, slot=request.slot, token=request.token)
        own = asyncio.ensure_future(interruptible_digest(top, count_bytes))
        remote = asyncio.ensure_future(_digest(source, digest_request))
        try:
            while not (own.done() and remote.done()):
                await asyncio.wait([own, remote], timeout=REPORT_SECONDS, return_when=asyncio.FIRST_EXCEPTION)
                yield FetchVolumeProgress(bytes=min(read[0], request.offer.content_bytes), verifying=True)
                for each in (own, remote):
                    if each.done():
                        each.result()
            same = own.result() == remote.result()
        finally:
            for each in (own, remote):
                each.cancel()
            await asyncio.gather(own, remote, return_exceptions=True)
            os.close(top)
        if not same:
            await self._discard_mismatch(request)

    async def _discard_mismatch(self, request: FetchVolumeRequest) -> None:
        """Delete a copy that differs, so that the next call starts again. Raises Unavailable; Refused after several
        times."""
        incoming = IncomingCopy(self._store.directory, request.volume_id, request.slot, request.created_at_ms)
        self._store.delete_copy(request.volume_id, request.slot, request.created_at_ms)
        await asyncio.to_thread(incoming.delete)
        self._mismatches[incoming.path] += 1
        if self._mismatches[incoming.path] >= MAX_MISMATCHES:
            del self._mismatches[incoming.path]
            raise Refused("verification failed repeatedly: the data is being changed, or a disk is faulty")
        raise Unavailable("verification failed: the data was changed during the copy; starting again")

    @asynccontextmanager
    async def _source(self, request: FetchVolumeRequest) -> AsyncGenerator[aio.Channel]:
        channel = connect_aio(
            [request.from_address], self._identity(), server_name=agent_server_name(request.from_node_id)
        )
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                await channel.channel_ready()
            yield channel
        except TimeoutError:
            raise Unavailable(f"no response from the agent at {request.from_address}") from None
        finally:
            await channel.close()


async def _copy(request: FetchVolumeRequest, copy: IncomingCopy, source: aio.Channel) -> Progress:
    """Fetch entries that are not on disk yet."""
    done = copy.last_entry()
    top, links = os.open(copy.data, DIRECTORY), os.open(copy.links, DIRECTORY)
    writer = TreeWriter(top=top, links=links, done=done, max_items=request.offer.entries)
    initial = max(0, await asyncio.to_thread(copy.disk_bytes)) if done else 0
    call = _stub(source).ReadTree(
        ReadTreeRequest(volume_id=request.volume_id, slot=request.slot, token=request.token, after_entry=done)
    )
    intervals = _Intervals()
    try:
        async for message in call:
            await _uninterrupted(partial(writer.write, message))
            if intervals.is_checkpoint_due(writer.bytes):
                await _uninterrupted(lambda: copy.save_progress(writer.checkpoint()))
            if intervals.is_report_due():
                yield FetchVolumeProgress(bytes=min(initial + writer.bytes, request.offer.content_bytes))
        if not writer.complete:
            raise Unavailable("the source node closed the stream before the volume was complete")
        await _uninterrupted(lambda: copy.save_progress(writer.checkpoint()))
    finally:
        call.cancel()
        if not writer.complete:
            with suppress(OSError):
                await _uninterrupted(lambda: copy.save_progress(writer.checkpoint()))
        writer.close()
        os.close(top)
        os.close(links)


class _Intervals:
    """Decides when checkpoints and reports are due."""

    def __init__(self) -> None:
        self._reported = self._saved = time.monotonic()
        self._bytes = 0

    def is_checkpoint_due(self, written: int) -> bool:
        now = time.monotonic()
        due = written - self._bytes >= CHECKPOINT_BYTES or now - self._saved >= CHECKPOINT_SECONDS
        if due:
            self._saved, self._bytes = now, written
        return due

    def is_report_due(self) -> bool:
        now = time.monotonic()
        due = now - self._reported >= REPORT_SECONDS
        if due:
            self._reported = now
        return due


async def _uninterrupted(work: Callable[[], None]) -> None:
    """Run work in a thread; it has ended when this returns, also when cancelled: it uses the caller's descriptors."""
    task = asyncio.ensure_future(asyncio.to_thread(work))
    try:
        await asyncio.shield(task)
    finally:
        await asyncio.wait([task])


async def _digest(source: aio.Channel, request: ReadDigestRequest) -> bytes:
    return (await _stub(source).ReadDigest(request)).digest


def _has_files(path: Path) -> bool:
    return any((path / "_data").iterdir())


def _source_error(error: ShoalError) -> ShoalError:
    """Converts the source's error; an expired grant is renewed at the next attempt."""
    return (
        Unavailable(str(error))
        if isinstance(error, PermissionDenied | Unauthenticated | NotFound | Exhausted)
        else error
    )


def _disk_error(error: OSError) -> ShoalError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return Exhausted("the file system of volumes is full")
    return Unavailable(f"cannot write the copy: {error.strerror}")


def _stub(source: aio.Channel) -> "VolumeDataAsyncStub":
    named: Any = RequestChannel(source)
    stub: VolumeDataAsyncStub = VolumeDataStub(named)
    return stub
