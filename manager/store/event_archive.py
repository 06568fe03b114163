"""Keeps the events of the last day in etcd, apart from the records: not watched, and not part of snapshots.

Events are stored in compressed chunks of some hundred, with keys in order of time. The newest chunk is rewritten as it
grows, so that the number of chunks is bounded as well as their size. One writer: a chunk is written in a transaction
that compares the leader's term.
"""

import zlib
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass

from google.protobuf.message import DecodeError

from manager.store.backend import Backend, Compare, CompareTarget, Delete, KeyValue, Put, prefix_end
from manager.store.kinds import LEADER
from shoal.api.v1.event_pb2 import Event, EventChunk
from shoal.errors import LeadershipLost

PREFIX = "/shoal/events/"
RETENTION_MS = 24 * 3_600_000
MAX_BYTES = 16 << 20
"""Of all chunks as stored in etcd."""
CHUNK_BYTES = 64 << 10
"""Size of uncompressed events after which a new chunk starts."""
CHUNK_MS = 600_000
"""Age after which a new chunk starts."""

_PAGE = 16
_MAX_DELETED = 64


@dataclass
class _Chunk:
    """A stored chunk."""

    key: bytes
    size: int


class EventArchive:
    """May be read at any time. To write, `load` at the start of a term, then `append`.

    Args:
        max_bytes: the maximum in etcd; the oldest chunks are deleted first.
    """

    def __init__(self, backend: Backend, *, max_bytes: int = MAX_BYTES) -> None:
        self._backend = backend
        self._max_bytes = max_bytes
        self._chunks: list[_Chunk] = []
        self._current = EventChunk()
        self._current_bytes = 0
        self._complete_since_ms = 0

    async def load(self) -> int:
        """Read what is stored; returns the time of the last event, milliseconds since the Unix epoch, 0: none.

        Raises:
            Unavailable: etcd is unavailable.
        """
        self._chunks, self._current = [], EventChunk()
        newest: KeyValue | None = None
        async for record in self._records(0):
            self._chunks.append(_Chunk(record.key, len(record.value)))
            newest = record
        last = _decoded(newest) if newest is not None else EventChunk()
        self._complete_since_ms = last.complete_since_ms
        return last.last_ms

    async def append(self, events: Sequence[Event], missing: int, *, fence: int, now_ms: int) -> None:
        """Append events, and delete what is older than a day or exceeds the maximum. Repeat it after an error.

        Args:
            events: at least one, in the order of time.
            missing: number of changes before them that were lost.
            fence: the term's number.

        Raises:
            LeadershipLost: the term is over. Unavailable, OutcomeUnknown, Exhausted: etcd is unavailable or full.
        """
        is_new = not self._chunks or not self._current.events or self._is_full(events)
        chunk = EventChunk()
        if not is_new:
            chunk.CopyFrom(self._current)
        chunk.events.extend(events)
        chunk.dropped += missing
        chunk.last_ms = events[-1].at_ms
        kept = self._chunks if is_new else self._chunks[:-1]
        expired = self._expired(kept, now_ms)
        chunk.complete_since_ms = self._complete_since_ms
        value = _encoded(chunk)
        new = _Chunk(self._new_key(chunk, fence) if is_new else self._chunks[-1].key, len(value))
        term = Compare(LEADER.key(""), CompareTarget.CREATED_AT, fence)
        outcome = await self._backend.txn([term], [Put(new.key, value), *(Delete(each.key) for each in expired)])
        if not outcome.succeeded:
            raise LeadershipLost(f"the term that began at revision {fence} has ended; no events were saved")
        self._chunks = [*kept[len(expired) :], new]
        self._current_bytes = (0 if is_new else self._current_bytes) + sum(each.ByteSize() for each in events)
        self._current = chunk

    async def read(self, since_ms: int) -> AsyncGenerator[EventChunk, None]:
        """The chunks that may have events from then on, the oldest first. Raises Unavailable."""
        async for record in self._records(max(0, since_ms - 2 * CHUNK_MS)):
            chunk = _decoded(record)
            if chunk.last_ms >= since_ms:
                yield chunk

    def _new_key(self, chunk: EventChunk, fence: int) -> bytes:
        """After those of all chunks: many events may have the same time, and a clock may have been set back."""
        last_ms = _ms_of(self._chunks[-1].key) if self._chunks else -1
        return _key(max(chunk.events[0].at_ms, last_ms + 1), fence)

    def _is_full(self, events: Sequence[Event]) -> bool:
        return self._current_bytes >= CHUNK_BYTES or events[-1].at_ms >= self._current.events[0].at_ms + CHUNK_MS

    def _expired(self, kept: Sequence[_Chunk], now_ms: int) -> list[_Chunk]:
        """The oldest chunks that are too old or too many; if too many, records since when the archive is complete."""
        old = _key(now_ms - RETENTION_MS - CHUNK_MS, 0)
        left = sum(chunk.size for chunk in kept) + CHUNK_BYTES
        expired: list[_Chunk] = []
        for place, chunk in enumerate(kept):
            too_old = chunk.key < old
            if len(expired) == _MAX_DELETED or not (too_old or left > self._max_bytes):
                break
            if not too_old:
                self._complete_since_ms = _ms_of(kept[place + 1].key) if place + 1 < len(kept) else now_ms
            expired.append(chunk)
            left -= chunk.size
        return expired

    async def _records(self, since_ms: int) -> AsyncGenerator[KeyValue, None]:
        key: bytes | None = _key(since_ms, 0)
        while key is not None:
            page = await self._backend.range(key, prefix_end(PREFIX.encode()), limit=_PAGE)
            for record in page.records:
                yield record
            key = page.next_key


def _key(at_ms: int, fence: int) -> bytes:
    """In order of time; chunks that two terms start in the same millisecond differ."""
    return f"{PREFIX}{max(0, at_ms):015d}-{fence}".encode()


def _ms_of(key: bytes) -> int:
    return int(key.decode().removeprefix(PREFIX).partition("-")[0])


def _encoded(chunk: EventChunk) -> bytes:
    return zlib.compress(chunk.SerializeToString(), 3)


def _decoded(record: KeyValue) -> EventChunk:
    """A chunk that cannot be read, such as of another version, counts as incomplete, so that the leader continues."""
    try:
        return EventChunk.FromString(zlib.decompress(record.value))
    except (zlib.error, DecodeError):
        return EventChunk(dropped=1, last_ms=_ms_of(record.key))
