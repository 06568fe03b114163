"""The newest changes of records, bounded in number and in bytes. Pure."""

from collections import deque
from collections.abc import Iterator
from itertools import islice

from manager.events.event_builder import ObservedChange

CAPACITY = 10_000
MAX_BYTES = 16 << 20
"""Of the records that changes hold, serialized: of some thousand changes of services and containers, or sixteen of a
service as large as one may be. In memory a record is two to four times as large, but one that has changed twice is
there once and counts twice."""


class RecentChanges:
    """Changes with their positions, which count up from 0. The oldest are dropped; the newest one never is."""

    def __init__(self, *, capacity: int = CAPACITY, max_bytes: int = MAX_BYTES) -> None:
        self._capacity = capacity
        self._max_bytes = max_bytes
        self._changes: deque[ObservedChange] = deque()
        self._sizes: deque[int] = deque()
        self._bytes = 0
        self._end = 0

    @property
    def begin(self) -> int:
        """Position of the oldest change that is here."""
        return self._end - len(self._changes)

    @property
    def end(self) -> int:
        """Position after the newest change."""
        return self._end

    @property
    def complete_since_ms(self) -> int | None:
        """When the oldest change was seen, if others were dropped before it; None: none were."""
        return self._changes[0].at_ms if self.begin else None

    def append(self, change: ObservedChange) -> None:
        """Remember a change, and drop the oldest ones that are too many or too large for that."""
        size = change.size()
        self._changes.append(change)
        self._sizes.append(size)
        self._bytes += size
        self._end += 1
        while len(self._changes) > 1 and (len(self._changes) > self._capacity or self._bytes > self._max_bytes):
            self._changes.popleft()
            self._bytes -= self._sizes.popleft()

    def read(self, position: int, limit: int) -> list[tuple[int, ObservedChange]]:
        """At most `limit` changes with their positions, from a position on that has not been dropped."""
        start = max(0, position - self.begin)
        return [(position + index, seen) for index, seen in enumerate(islice(self._changes, start, start + limit))]

    def position_at(self, since_ms: int) -> int:
        """Position of the first change that was seen then or later."""
        return self._end - sum(1 for _ in self._since(since_ms))

    def _since(self, since_ms: int) -> Iterator[ObservedChange]:
        for change in reversed(self._changes):
            if change.at_ms < since_ms:
                return
            yield change
