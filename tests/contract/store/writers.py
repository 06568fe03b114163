"""Writers that know what was acknowledged to them, and what followers received."""

import asyncio
import itertools
from collections import defaultdict
from collections.abc import Sequence
from contextlib import suppress
from types import TracebackType
from typing import Self

from manager.store.changes import Change, put
from manager.store.kinds import TASK
from manager.store.store import Store
from shoal.api.v1.task_pb2 import Task
from shoal.errors import Timeout, Unavailable
from tests.polling import until


class Writer:
    """Counts one task's `attempt` up, and knows which counts etcd acknowledged."""

    def __init__(self, identifier: str) -> None:
        self.identifier = identifier
        self.acknowledged: list[int] = []
        self.unconfirmed: set[int] = set()

    async def run(self, store: Store, stop: asyncio.Event) -> None:
        for count in itertools.count(1):
            if stop.is_set():
                return
            task = Task(id=self.identifier, attempt=count)
            other = Task(id=f"{self.identifier}-{count % 7}", attempt=count)
            try:
                await store.commit([put(TASK, task.id, task), put(TASK, other.id, other)])
                self.acknowledged.append(count)
            except (Timeout, Unavailable):
                self.unconfirmed.add(count)


async def every_writer_gets_on(writers: Sequence[Writer], *, by: int = 20) -> None:
    """Wait until each of them has so many more acknowledged."""
    goals = [len(writer.acknowledged) + by for writer in writers]
    await until(
        lambda: all(len(writer.acknowledged) >= goal for writer, goal in zip(writers, goals, strict=True)), seconds=60
    )


async def commit_at_the_end(store: Store) -> int:
    """Commit the task "end", again while a member that is lost is still tried; the revision."""
    while True:
        with suppress(Timeout, Unavailable):
            return await store.commit([put(TASK, "end", Task(id="end"))])


def check(writer: Writer, changes: list[Change]) -> None:
    """All acknowledged counts were received once and in order; other received ones had no response."""
    reported = [change.new.attempt for change in changes if isinstance(change.new, Task)]
    assert reported == sorted(set(reported))
    assert set(writer.acknowledged) <= set(reported) <= set(writer.acknowledged) | writer.unconfirmed
    assert [change.old for change in changes] == [None, *(change.new for change in changes[:-1])]


class Collecting:
    """A store's changes by record, collected while the block runs."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._changes: dict[str, list[Change]] = defaultdict(list)

    def __getitem__(self, identifier: str) -> list[Change]:
        return self._changes[identifier]

    async def has(self, identifier: str) -> None:
        """Wait for a change of this record."""
        await until(lambda: self._changes[identifier])

    async def __aenter__(self) -> Self:
        self._subscription = self._store.follow()
        self._task = asyncio.ensure_future(self._collect())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._task.cancel()
        self._subscription.__exit__(kind, error, traceback)

    async def _collect(self) -> None:
        async for batch in self._subscription:
            for change in batch:
                self._changes[change.identifier].append(change)
