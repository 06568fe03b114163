"""Deletes what is kept of containers that managers do not keep on this node any more.

This is people's data. Nothing is deleted before a manager has listed all containers of this node in a snapshot, nor
while a task of the container is assigned here or not forgotten yet. A manager that does not know containers lists none,
and then all stay. A snapshot may be of a manager that is behind another one: what it does not list is deleted only
after `SETTLE_SECONDS`, and once it has reached the newest revision of the store that this process has seen. What is
removed by name is deleted at once.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable

from agent.worker.container_runtime import Runtime
from shoal.api.v1.dispatcher_pb2 import Assignments
from shoal.api.v1.task_pb2 import Task
from shoal.errors import ShoalError

RETRY_SECONDS = 5.0
SETTLE_SECONDS = 10.0

_log = logging.getLogger(__name__)


class RootCollector:
    """Call `apply` with each message, and `wake` when a task was forgotten.

    Args:
        tasks: those that are assigned or not forgotten yet.
    """

    def __init__(self, runtime: Runtime, tasks: Callable[[], Iterable[Task]]) -> None:
        self._runtime = runtime
        self._tasks = tasks
        self._kept: set[str] | None = None
        self._removed: set[str] = set()
        self._settled_at = 0.0
        self._revision = self._newest_revision = 0
        self._woken = asyncio.Event()

    def apply(self, message: Assignments) -> None:
        """Follow a message."""
        self._revision = message.store_revision if message.snapshot else max(self._revision, message.store_revision)
        self._newest_revision = max(self._newest_revision, self._revision)
        if message.snapshot:
            self._kept = set(message.containers) if message.lists_containers else None
            self._removed.clear()
            loop = asyncio.get_running_loop()
            self._settled_at = loop.time() + SETTLE_SECONDS
            loop.call_later(SETTLE_SECONDS, self.wake)
        elif self._kept is not None:
            self._kept.difference_update(message.removed_containers)
            self._kept.update(message.containers)
            self._removed.update(message.removed_containers)
        self.wake()

    def wake(self) -> None:
        """Look again soon."""
        self._woken.set()

    def surplus(self) -> frozenset[str]:
        """Containers that are to be deleted."""
        if self._kept is None:
            return frozenset()
        used = {task.container_id for task in self._tasks()}
        found = self._runtime.kept_roots().keys() - self._kept - used
        is_settled = asyncio.get_running_loop().time() >= self._settled_at
        return frozenset(found if is_settled and self._revision >= self._newest_revision else found & self._removed)

    async def run(self) -> None:
        """Delete them, until cancelled."""
        while True:
            await self._woken.wait()
            self._woken.clear()
            for container_id in sorted(self.surplus()):
                # What is assigned may have changed meanwhile.
                if container_id in self.surplus() and not await self._remove(container_id):
                    asyncio.get_running_loop().call_later(RETRY_SECONDS, self.wake)

    async def _remove(self, container_id: str) -> bool:
        _log.info("removing container %s: it is not kept on this node any more", container_id)
        try:
            await self._runtime.remove_root(container_id)
        except ShoalError as error:
            _log.warning("could not remove container %s yet: %s", container_id, error)
            return False
        return True
