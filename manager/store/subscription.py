"""Telling readers of the tables' changes: each change once, in order, from the moment of following on."""

import asyncio
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from manager.store.changes import Change


class Subscription:
    """A context manager and an asynchronous iterator over batches of changes, never empty.

    What comes while the reader is busy is joined into one batch, so a slow reader has one batch waiting and not a queue
    of wake-ups.
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
        return self.so_far()

    def so_far(self) -> tuple[Change, ...]:
        """What has come and was not taken yet, without waiting."""
        batch = tuple(self._pending)
        self._pending.clear()
        return batch

    def tell(self, changes: Sequence[Change]) -> None:
        """For the store alone."""
        self._pending.extend(changes)
        self._wake.set()
