"""The containers that the runtime knows: their records, their exits, and starts in progress."""

import asyncio
from collections.abc import Generator
from contextlib import contextmanager

from agent.runtime.container_paths import ContainerRecord
from agent.worker.interfaces import Exit, OnExit
from shoal.errors import AlreadyExists


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

    def __contains__(self, task_id: str) -> bool:
        return task_id in self._records

    @property
    def starting(self) -> frozenset[str]:
        """Tasks whose start is in progress."""
        return frozenset(self._starting)

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

    def remove(self, task_id: str) -> None:
        """Remove a container. No error if it is unknown."""
        self._records.pop(task_id, None)
        self._exits.pop(task_id, None)
