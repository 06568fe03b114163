"""Source side of a volume move."""

import asyncio
import os
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from agent.volume_moves.read_grants import GrantKey, ReadGrants
from agent.volume_moves.tree_digest import tree_digest
from agent.volume_moves.tree_messages import tree_messages
from agent.volume_moves.tree_size import measure
from agent.volumes.local_volumes import LocalVolumes
from shoal.api.v1.streams_pb2 import OfferVolumeRequest, OfferVolumeResponse
from shoal.api.v1.volume_data_pb2 import ReadDigestRequest, ReadTreeRequest, TreeItems
from shoal.errors import NotFound, Unavailable
from shoal.fault_points.injection import fault

MAX_READERS = 8
"""Concurrent readers: each takes a thread and a few megabytes."""

DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class MoveInterrupted(Exception):
    """The result is not needed any more."""


class MoveSource:
    """Reads volumes that no container uses."""

    def __init__(self, store: LocalVolumes, now: Callable[[], float] = time.monotonic) -> None:
        self._store = store
        self._grants = ReadGrants(now)
        self._readers = 0

    async def offer(self, request: OfferVolumeRequest) -> OfferVolumeResponse:
        """Measure a volume and allow one node to read it.

        Raises:
            NotFound: it is not on this node. Unavailable: a container uses it. Refused: it contains devices.
        """
        key = (request.volume_id, request.slot)
        async with self._reading(key) as top:
            found = await asyncio.to_thread(measure, top)
        volume = self._store.find(*key)
        if volume is None:
            raise NotFound("the volume was removed during the operation")
        found.created_at_ms = volume[1].created_at_ms
        self._grants.grant(key, request.to_node_id, request.token)
        fault("agent.volume-move.granted")
        return found

    async def read(self, request: ReadTreeRequest, node_id: str) -> AsyncGenerator[TreeItems]:
        """The file tree, for a node with a grant.

        Raises:
            PermissionDenied: the node has no grant. Unavailable: too many readers, or the tree is being changed.
        """
        key = (request.volume_id, request.slot)
        self._grants.require(key, node_id, request.token)
        async with self._reading(key) as top:
            pieces = tree_messages(top, request.after_entry)
            next_piece = asyncio.ensure_future(asyncio.to_thread(next, pieces, None))
            try:
                while (piece := await asyncio.shield(next_piece)) is not None:
                    next_piece = asyncio.ensure_future(asyncio.to_thread(next, pieces, None))
                    yield piece
                    self._grants.require(key, node_id, request.token)
            finally:
                await asyncio.wait([next_piece])  # the descriptor is in use until then
                pieces.close()

    async def digest(self, request: ReadDigestRequest, node_id: str) -> bytes:
        """The digest of the file tree, for a node with a grant. Raises as `read`."""
        key = (request.volume_id, request.slot)
        self._grants.require(key, node_id, request.token)
        async with self._reading(key) as top:
            return await interruptible_digest(top, lambda _: self._grants.require(key, node_id, request.token))

    def _reading(self, key: GrantKey) -> AbstractAsyncContextManager[int]:
        return _reading(self, self._store, key)

    def begin_read(self) -> None:
        """Count a reader. Raises Unavailable if there are too many."""
        if self._readers >= MAX_READERS:
            raise Unavailable(f"too many volumes are being read from this node ({self._readers}); try again later")
        self._readers += 1

    def end_read(self) -> None:
        """Count a reader's end."""
        self._readers -= 1


@asynccontextmanager
async def _reading(source: MoveSource, store: LocalVolumes, key: GrantKey) -> AsyncGenerator[int]:
    """A descriptor of a volume's data directory."""
    found = store.find(*key)
    if found is None:
        raise NotFound("the volume is not on this node")
    if store.is_used(*key):
        raise Unavailable(f"volume {found[1].name} is in use by a container on this node")
    source.begin_read()
    try:
        descriptor = os.open(found[0] / "_data", DIRECTORY)
        try:
            yield descriptor
        finally:
            os.close(descriptor)
    except OSError as error:
        raise Unavailable(f"cannot read volume {found[1].name}: {error.strerror}") from error
    finally:
        source.end_read()


async def interruptible_digest(top: int, on_bytes: Callable[[int], None]) -> bytes:
    """Run `tree_digest` in a thread that has ended when this returns or is cancelled.

    Args:
        on_bytes: called in that thread.
    """
    stopped = False

    def each(count: int) -> None:
        if stopped:
            raise MoveInterrupted
        on_bytes(count)

    work = asyncio.ensure_future(asyncio.to_thread(tree_digest, top, each))
    try:
        return await asyncio.shield(work)
    finally:
        stopped = True
        await asyncio.wait([work])
        if not work.cancelled():
            work.exception()
