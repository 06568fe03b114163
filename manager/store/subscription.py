"""Delivers the tables' changes to readers: each change once, in order, from the time of subscribing."""

import asyncio
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from manager.store.changes import Change


class Subscription:
    """A context manager and an asynchronous iterator over batches of changes, never empty.

    Changes that arrive while the reader is busy are joined into one batch, so a slow reader has one pending batch and
    not a queue.
    """

    def __init__(self, subscribers: "set[Subscription]") -> None:
        self._subscribers = subscribers
        self._pending: list[Change] = []
        self._wake = asyncio.Event()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._subscribers.discard(self)
        self._pending.clear()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> tuple[Change, ...]:
        while not self._pending:
            self._wake.clear()
            await self._wake.wait()
        return self.pending_changes()

    def pending_changes(self) -> tuple[Change, ...]:
        """Remove and return the pending changes, without waiting."""
        batch = tuple(self._pending)
        self._pending.clear()
        return batch

    def publish(self, changes: Sequence[Change]) -> None:
        """For the store alone."""
        self._pending.extend(changes)
        self._wake.set()
