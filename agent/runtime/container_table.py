"""The containers that the runtime knows: their records, their exits, and starts in progress."""

import asyncio
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager

from agent.runtime.container_paths import ContainerRecord
from agent.worker.container_runtime import Exit, OnExit
from shoal.errors import AlreadyExists, Unavailable

HOLD_SECONDS = 60.0
"""For the removal of a container's run before the next one of it starts."""

COPY_SECONDS = 10.0
"""For copies of its files that are in progress then; after that they are ended."""


class ContainerTable:
    """For one event loop.

    Args:
        on_exit: called once for each exit that is reported.
    """

    def __init__(self, on_exit: OnExit) -> None:
        self._on_exit = on_exit
        self._records: dict[str, ContainerRecord] = {}
        self._exits: dict[str, asyncio.Future[Exit]] = {}
        self._starting: dict[str, asyncio.Event] = {}
        self._holders: dict[str, str] = {}
        self._held: dict[str, str] = {}
        self._copies: dict[str, set[asyncio.Timeout]] = {}
        self._released = asyncio.Condition()

    def __contains__(self, task_id: str) -> bool:
        return task_id in self._records

    @property
    def starting(self) -> frozenset[str]:
        """Tasks whose start is in progress."""
        return frozenset(self._starting)

    def holder(self, container_id: str) -> str | None:
        """The task whose container uses a kept root file system; None if there is none."""
        return self._holders.get(container_id)

    def container_of(self, task_id: str) -> str:
        """The container whose root file system a task's container uses; empty if that is its own, or it is unknown."""
        return self._records[task_id].container_id if task_id in self._records else ""

    @asynccontextmanager
    async def copied(self, container_id: str) -> AsyncGenerator[None]:
        """While its root file system is open (`RootAccess`), no task gets it.

        Leave the context in the asyncio task that entered it, without waiting for others in between.

        Raises:
            Unavailable: in the context, which was ended: the container is to be started, or removed.
        """
        limit = asyncio.timeout(None)
        try:
            async with limit:
                self._copies.setdefault(container_id, set()).add(limit)
                yield
        except TimeoutError:
            if limit.expired():
                raise Unavailable(f"the copy was ended: container {container_id} is being started or removed") from None
            raise
        finally:
            self._copies[container_id].remove(limit)
            if not self._copies[container_id]:
                del self._copies[container_id]
            async with self._released:
                self._released.notify_all()

    def is_copied(self, container_id: str) -> bool:
        """Whether its root file system is open."""
        return container_id in self._copies

    def end_copies(self, container_id: str) -> None:
        """End those of its files that are in progress; they need a moment."""
        for limit in self._copies.get(container_id, ()):
            if not limit.expired():
                limit.reschedule(asyncio.get_running_loop().time())

    async def hold(self, container_id: str, task_id: str) -> None:
        """Give a kept root file system to a task, once the task that has it is removed.

        Copies of its files have `COPY_SECONDS` more, so that a start does not depend on who reads how slowly.

        Raises:
            Unavailable: that takes longer than `HOLD_SECONDS`.
        """
        try:
            async with asyncio.timeout(HOLD_SECONDS), self._released:
                await self._released.wait_for(lambda: container_id not in self._holders)
                ending = asyncio.get_running_loop().call_later(COPY_SECONDS, self.end_copies, container_id)
                try:
                    await self._released.wait_for(
                        lambda: container_id not in self._holders and container_id not in self._copies
                    )
                finally:
                    ending.cancel()
                self._hold(container_id, task_id)
        except TimeoutError:
            other = f"its run {self._holders[container_id]}" if container_id in self._holders else "a copy of its files"
            raise Unavailable(f"container {container_id} is still in use by {other}") from None

    async def release(self, task_id: str) -> None:
        """Take it back from the task. No error if it has none."""
        if task_id in self._held:
            async with self._released:
                del self._holders[self._held.pop(task_id)]
                self._released.notify_all()

    def _hold(self, container_id: str, task_id: str) -> None:
        self._holders[container_id], self._held[task_id] = task_id, container_id

    @contextmanager
    def begin_start(self, task_id: str) -> Generator[None]:
        """A start in progress, for which `wait_started` waits.

        Raises:
            AlreadyExists: the task has a container, or one is being started.
        """
        if task_id in self._records or task_id in self._starting:
            raise AlreadyExists(f"task {task_id} already has a container; remove it first")
        started = self._starting[task_id] = asyncio.Event()
        try:
            yield
        finally:
            del self._starting[task_id]
            started.set()

    async def wait_started(self, task_id: str) -> None:
        """Wait until no start of the task is in progress."""
        if (started := self._starting.get(task_id)) is not None:
            await started.wait()

    def add(self, record: ContainerRecord) -> None:
        """Add a container whose exit is not known yet."""
        if record.container_id:
            self._hold(record.container_id, record.task_id)
        self._records[record.task_id] = record
        self._exits[record.task_id] = asyncio.get_running_loop().create_future()

    def record(self, task_id: str) -> ContainerRecord:
        """The record of a container that was added."""
        return self._records[task_id]

    def exit(self, task_id: str) -> asyncio.Future[Exit]:
        """The exit of a container that was added; shield it."""
        return self._exits[task_id]

    def set_exit(self, task_id: str, end: Exit) -> None:
        """Set the exit of a container that had exited before it was added, without reporting it."""
        self._exits[task_id].set_result(end)

    def report_exit(self, task_id: str, end: Exit) -> None:
        """Set a container's exit and report it."""
        self.set_exit(task_id, end)
        self._on_exit(task_id, end)

    def report_exit_soon(self, task_id: str) -> None:
        """Report an exit that was set, after the caller has returned."""
        asyncio.get_running_loop().call_soon(self._on_exit, task_id, self._exits[task_id].result())

    async def remove(self, task_id: str) -> None:
        """Remove a container. No error if it is unknown."""
        self._records.pop(task_id, None)
        self._exits.pop(task_id, None)
        await self.release(task_id)
