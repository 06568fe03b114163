"""What this node gives to another one: a volume's data, to whom a manager has named."""

import asyncio
import os
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from agent.volume_moves.digest import tree_digest
from agent.volume_moves.grants import Grants, Key
from agent.volume_moves.sending import messages
from agent.volume_moves.size import measure
from agent.volumes.store import VolumeStore
from shoal.api.v1.streams_pb2 import OfferVolumeRequest, OfferVolumeResponse
from shoal.api.v1.volume_data_pb2 import ReadDigestRequest, ReadTreeRequest, TreeItems
from shoal.errors import NotFound, Unavailable

MOST_READERS = 8
"""At a time: each holds a thread and a few megabytes."""

DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class Stopped(Exception):
    """Nobody waits for the result any more."""


class VolumeSource:
    """Reads volumes that no container has."""

    def __init__(self, store: VolumeStore, now: Callable[[], float] = time.monotonic) -> None:
        self._store = store
        self._grants = Grants(now)
        self._readers = 0

    async def offer(self, request: OfferVolumeRequest) -> OfferVolumeResponse:
        """Let one node read it.

        Raises:
            NotFound: it does not lie here. Unavailable: a container has it. Refused: it has what is not copied.
        """
        key = (request.volume_id, request.slot)
        async with self._reading(key) as top:
            found = await asyncio.to_thread(measure, top)
        held = self._store.find(*key)
        if held is None:
            raise NotFound("the volume was removed meanwhile")
        found.created_at_ms = held[1].created_at_ms
        self._grants.give(key, request.to_node_id, request.grant)
        return found

    async def read(self, request: ReadTreeRequest, node_id: str) -> AsyncGenerator[TreeItems]:
        """The tree, to this node.

        Raises:
            PermissionDenied: it has no grant. Unavailable: too many read at once, or the tree changes.
        """
        key = (request.volume_id, request.slot)
        self._grants.use(key, node_id, request.grant)
        async with self._reading(key) as top:
            pieces = messages(top, request.after)
            coming = asyncio.ensure_future(asyncio.to_thread(next, pieces, None))
            try:
                while (piece := await asyncio.shield(coming)) is not None:
                    coming = asyncio.ensure_future(asyncio.to_thread(next, pieces, None))
                    yield piece
                    self._grants.use(key, node_id, request.grant)
            finally:
                await asyncio.wait([coming])  # the descriptor is in use until then
                pieces.close()

    async def digest(self, request: ReadDigestRequest, node_id: str) -> bytes:
        """Over the tree, to this node. Raises as `read`."""
        key = (request.volume_id, request.slot)
        self._grants.use(key, node_id, request.grant)
        async with self._reading(key) as top:
            return await interruptible(top, lambda _: self._grants.use(key, node_id, request.grant))

    def _reading(self, key: Key) -> AbstractAsyncContextManager[int]:
        return _reading(self, self._store, key)

    def begin(self) -> None:
        """Raises Unavailable when too many read."""
        if self._readers >= MOST_READERS:
            raise Unavailable(
                f"{self._readers} volumes of this node are being read, the most at a time; try again later"
            )
        self._readers += 1

    def end(self) -> None:
        """One reader less."""
        self._readers -= 1


@asynccontextmanager
async def _reading(source: VolumeSource, store: VolumeStore, key: Key) -> AsyncGenerator[int]:
    """The descriptor of a volume's data."""
    found = store.find(*key)
    if found is None:
        raise NotFound("the volume does not lie on this node")
    if store.is_used(*key):
        raise Unavailable(f"a container still has volume {found[1].name}")
    source.begin()
    try:
        descriptor = os.open(found[0] / "_data", DIRECTORY)
        try:
            yield descriptor
        finally:
            os.close(descriptor)
    except OSError as error:
        raise Unavailable(f"volume {found[1].name} cannot be read: {error.strerror}") from error
    finally:
        source.end()


async def interruptible(top: int, note: Callable[[int], None]) -> bytes:
    """`tree_digest` in a thread, which has ended when this has.

    Args:
        note: called in that thread.
    """
    stopped = False

    def each(count: int) -> None:
        if stopped:
            raise Stopped
        note(count)

    work = asyncio.ensure_future(asyncio.to_thread(tree_digest, top, each))
    try:
        return await asyncio.shield(work)
    finally:
        stopped = True
        await asyncio.wait([work])
        if not work.cancelled():
            work.exception()
