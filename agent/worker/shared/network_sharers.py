"""Stop order of tasks that share a network.

Who shares a network stops first, so that it is never left without one. It may serve what the other task publishes; so
before that, nobody is led to the other task any more. Each wait is bounded: a task is not kept from its end by another
one that managers do not stop.
"""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Protocol

from shoal.api.v1.task_pb2 import Task

EXTRA_SECONDS = 10.0
"""Beyond the grace of those that share the network: managers' word that they are to stop may come later."""
POLL_SECONDS = 0.02


class SharingTask(Protocol):
    """A task of this node, as its runner has it."""

    @property
    def task(self) -> Task: ...

    @property
    def has_container(self) -> bool:
        """Its container runs."""
        ...

    @property
    def needs_drain(self) -> bool:
        """It is to stop, and clients may still be led to it."""
        ...

    @property
    def grace_seconds(self) -> float:
        """From its stop signal to SIGKILL."""
        ...


class NetworkSharing:
    """Who shares whose network.

    Args:
        tasks: all tasks of the node by id.
    """

    def __init__(self, tasks: Mapping[str, SharingTask]) -> None:
        self._tasks = tasks
        self._sharers: dict[str, set[str]] = {}

    def add(self, task: Task) -> None:
        """The task is on the node from now on."""
        if task.network_task_id:
            self._sharers.setdefault(task.network_task_id, set()).add(task.id)

    def remove(self, task: Task) -> None:
        """It is there no more."""
        if task.network_task_id and (sharers := self._sharers.get(task.network_task_id)) is not None:
            sharers.discard(task.id)
            if not sharers:
                del self._sharers[task.network_task_id]

    def must_wait(self, task: Task) -> bool:
        """Whether the task, which is to stop, is to wait for another one."""
        if task.network_task_id:
            other = self._tasks.get(task.network_task_id)
            return other is not None and other.needs_drain
        return bool(self._running_sharers(task))

    def max_wait_seconds(self, task: Task) -> float:
        """How long it waits at most: what nobody is led to any more is told by a wait that has a bound of its own."""
        return max((each.grace_seconds for each in self._running_sharers(task)), default=0.0) + EXTRA_SECONDS

    def _running_sharers(self, task: Task) -> list[SharingTask]:
        sharers = self._sharers.get(task.id)
        if not sharers:
            return []
        found = (self._tasks.get(task_id) for task_id in sharers)
        return [each for each in found if each is not None and each.has_container]


class StopOrder:
    """Of one task: when it may be asked to stop."""

    def __init__(self, sharing: NetworkSharing) -> None:
        self._sharing = sharing
        self._done = False

    def must_wait(self, task: Task) -> bool:
        """Whether others have to stop, or to be left by their clients, before it."""
        return not self._done and self._sharing.must_wait(task)

    async def wait(self, task: Task, has_ended: Callable[[], bool]) -> None:
        """Until it is its turn, at most for so long as that may take, or until its container has ended."""
        with suppress(TimeoutError):
            async with asyncio.timeout(None if task.network_task_id else self._sharing.max_wait_seconds(task)):
                while self._sharing.must_wait(task) and not has_ended():  # noqa: ASYNC110  (their ends are nobody's event)
                    await asyncio.sleep(POLL_SECONDS)
        self._done = True
