"""The health check of one task's container: made while the container runs, kept in the task's status."""

import asyncio
from collections.abc import Callable

from agent.health.check import complete
from agent.health.probes import Prober
from agent.health.watch import watch
from agent.worker.seams import Running
from shoal.api.v1.container_pb2 import Healthcheck
from shoal.api.v1.task_pb2 import Task, TaskStatus
from shoal.task_group import TaskGroup

LOOPBACK = "127.0.0.1"
Tell = Callable[[TaskStatus.Health.ValueType, str], None]


class HealthKeeper:
    """Holds the check, and the asyncio task that makes it.

    Args:
        check: of the journal, for a container that an earlier process of the agent started; None: there is none.
        tell: takes each news of health.
    """

    def __init__(
        self, *, prober: Prober, now_ms: Callable[[], int], tell: Tell, check: Healthcheck | None = None
    ) -> None:
        self._prober = prober
        self._now_ms = now_ms
        self._tell = tell
        self._working: asyncio.Task[None] | None = None
        self.check = check

    def choose(self, own: Healthcheck, image: Healthcheck | None) -> None:
        """Settle the check of a container that is about to start."""
        self.check = complete(own, image)

    def is_due(self) -> bool:
        """There is a check, and nobody makes it."""
        return self.check is not None and self._working is None

    def start(self, group: TaskGroup, task: Task, running: Running, health: TaskStatus.Health.ValueType) -> None:
        """Make the check until the container is unhealthy, or `stop`."""
        assert self.check is not None
        # Its own address, so that what only loopback reaches is not taken for a service to others.
        address = next((each.address for each in task.addresses if each.address), LOOPBACK)
        checking = watch(
            prober=self._prober,
            task_id=task.id,
            check=self.check,
            address=address,
            health=health,
            started_ms=running.started_ms,
            now_ms=self._now_ms,
            tell=self._tell,
        )
        self._working = group.create_task(checking, name=f"health {task.id}")

    def stop(self) -> None:
        """No more checks; it is as if there were none."""
        if self._working is not None:
            self._working.cancel()
        self.check = None
