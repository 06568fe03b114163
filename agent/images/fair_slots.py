"""Concurrency slots that are shared fairly between owners."""

import asyncio
from collections import Counter, deque
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager


class FairSlots:
    """At most `total` holders at a time, and `each` for one owner. A free slot goes to the owner with the fewest, then
    to the one that waits longest.

    Belongs to one event loop. Memory is proportional to the owners that hold or wait.
    """

    def __init__(self, *, total: int, each: int) -> None:
        self._free = total
        self._each = each
        self._held: Counter[str] = Counter()
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}

    @asynccontextmanager
    async def hold(self, owner: str) -> AsyncGenerator[None]:
        """Hold a slot, waiting for one if necessary."""
        turn = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(owner, deque()).append(turn)
        self._grant()
        try:
            await turn
        except asyncio.CancelledError:
            if turn.cancelled():
                self._withdraw(owner, turn)
            else:
                self._release(owner)
            raise
        try:
            yield
        finally:
            self._release(owner)

    def _grant(self) -> None:
        while self._free and (owner := self._next()):
            turn = self._waiting[owner].popleft()
            if not self._waiting[owner]:
                del self._waiting[owner]
            if turn.cancelled():
                continue
            self._free -= 1
            self._held[owner] += 1
            turn.set_result(None)

    def _next(self) -> str | None:
        able = [owner for owner in self._waiting if self._held[owner] < self._each]
        return min(able, key=lambda owner: self._held[owner], default=None)

    def _withdraw(self, owner: str, turn: asyncio.Future[None]) -> None:
        queue = self._waiting.get(owner)
        if queue is not None and turn in queue:
            queue.remove(turn)
            if not queue:
                del self._waiting[owner]

    def _release(self, owner: str) -> None:
        self._free += 1
        self._held[owner] -= 1
        if not self._held[owner]:
            del self._held[owner]
        self._grant()


class KeyedLocks:
    """A lock for each of many keys, kept only while it is held or waited for. Belongs to one event loop."""

    def __init__(self) -> None:
        self._locks: dict[str, asyncio.Lock] = {}
        self._users: Counter[str] = Counter()

    @asynccontextmanager
    async def hold(self, key: str) -> AsyncGenerator[None]:
        """Hold the lock of a key, waiting for it if necessary."""
        lock = self._locks.setdefault(key, asyncio.Lock())
        self._users[key] += 1
        try:
            async with lock:
                yield
        finally:
            self._users[key] -= 1
            if not self._users[key]:
                del self._users[key], self._locks[key]
