"""Stop order of tasks that share a network.

A task that shares another task's network stops first, so that it is never without one. It may serve ports that the
other task publishes; so the other task is drained before. Each wait is bounded: a task that managers do not stop cannot
keep another one from stopping.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol

from shoal.api.v1.task_pb2 import Task

EXTRA_SECONDS = 10.0
"""Beyond the grace period of the tasks that share the network: their stop may be assigned later."""
POLL_SECONDS = 0.02


class SharingTask(Protocol):
    """A task of this node; `TaskRunner` is one."""

    @property
    def task(self) -> Task: ...

    @property
    def has_container(self) -> bool:
        """Whether its container is running."""
        ...

    @property
    def needs_drain(self) -> bool:
        """Whether it must stop and may still receive connections."""
        ...

    @property
    def grace_seconds(self) -> float:
        """From its stop signal to SIGKILL."""
        ...

    def network_restarted(self) -> None:
        """The task whose network it shares is restarted: what it has of that network is dead."""
        ...


class NetworkSharing:
    """Knows which tasks of this node share another task's network."""

    def __init__(self) -> None:
        self._tasks: dict[str, SharingTask] = {}
        self._sharers: dict[str, set[str]] = {}

    def add(self, sharing_task: SharingTask) -> None:
        """Add a task of this node."""
        task = sharing_task.task
        self._tasks[task.id] = sharing_task
        if _stops_with(task):
            self._sharers.setdefault(task.network_task_id, set()).add(task.id)

    def remove(self, task: Task) -> None:
        """Remove a task."""
        self._tasks.pop(task.id, None)
        if _stops_with(task) and (sharers := self._sharers.get(task.network_task_id)) is not None:
            sharers.discard(task.id)
            if not sharers:
                del self._sharers[task.network_task_id]

    def must_wait(self, task: Task) -> bool:
        """Whether the task, which must stop, has to wait for another one."""
        if _stops_with(task):
            other = self._tasks.get(task.network_task_id)
            return other is not None and other.needs_drain
        return bool(self._running_sharers(task))

    def max_wait_seconds(self, task: Task) -> float:
        """Longest wait for the tasks that share its network. (Waiting for a drain has its own timeout.)"""
        return max((each.grace_seconds for each in self._running_sharers(task)), default=0.0) + EXTRA_SECONDS

    def is_running(self, task_id: str) -> bool:
        """Whether a task's container is running."""
        found = self._tasks.get(task_id)
        return found is not None and found.has_container

    def sharers(self, task: Task) -> list[SharingTask]:
        """The tasks of services that share its network."""
        found = (self._tasks.get(task_id) for task_id in self._sharers.get(task.id, ()))
        return [each for each in found if each is not None]

    def _running_sharers(self, task: Task) -> list[SharingTask]:
        return [each for each in self.sharers(task) if each.has_container]


def _stops_with(task: Task) -> bool:
    """Whether it stops with the task whose network it shares. A container's run does not: managers leave it running,
    with what is left of the namespace, so that nothing may wait for it."""
    return bool(task.network_task_id) and not task.container_id


class StopOrder:
    """Decides when one task may stop."""

    def __init__(self, sharing: NetworkSharing) -> None:
        self._sharing = sharing
        self._done = False

    def must_wait(self, task: Task) -> bool:
        """Whether other tasks have to stop, or to be drained, before it."""
        return not self._done and self._sharing.must_wait(task)

    async def wait(self, task: Task, has_ended: Callable[[], bool]) -> None:
        """Wait until the task may stop, until the timeout, or until its container has exited."""
        with suppress(TimeoutError):
            async with asyncio.timeout(None if _stops_with(task) else self._sharing.max_wait_seconds(task)):
                while self._sharing.must_wait(task) and not has_ended():  # noqa: ASYNC110  (no event)
                    await asyncio.sleep(POLL_SECONDS)
        self._done = True
