"""Runs the health check of one task's container."""

import asyncio
from collections.abc import Callable

from agent.health.health_monitor import OnHealthChange, monitor_health
from agent.health.healthcheck import effective_healthcheck
from agent.health.probes import HealthProber
from agent.worker.container_runtime import Running
from shoal.api.v1.container_pb2 import Healthcheck
from shoal.api.v1.task_pb2 import Task, TaskStatus
from shoal.task_group import TaskGroup

LOOPBACK = "127.0.0.1"


class HealthCheckRunner:
    """Holds the check, and the asyncio task that runs it.

    Args:
        check: from the journal, for a container that an earlier process of the agent started; None: no check.
        on_change: takes each change of health.
    """

    def __init__(
        self,
        *,
        prober: HealthProber,
        now_ms: Callable[[], int],
        on_change: OnHealthChange,
        check: Healthcheck | None = None,
    ) -> None:
        self._prober = prober
        self._now_ms = now_ms
        self._on_change = on_change
        self._task: asyncio.Task[None] | None = None
        self.check = check

    def configure(self, spec: Healthcheck, image: Healthcheck | None) -> None:
        """Configure the check of a container that is about to start."""
        self.check = effective_healthcheck(spec, image)

    def is_due(self) -> bool:
        """Whether there is a check that is not running."""
        return self.check is not None and self._task is None

    def start(self, group: TaskGroup, task: Task, running: Running, health: TaskStatus.Health.ValueType) -> None:
        """Run the check until the container is unhealthy, or until `stop`."""
        assert self.check is not None
        # The container's own address: a service that listens only on loopback is not reachable for others.
        address = next((each.address for each in task.addresses if each.address), LOOPBACK)
        checking = monitor_health(
            prober=self._prober,
            task_id=task.id,
            check=self.check,
            address=address,
            health=health,
            started_ms=running.started_ms,
            now_ms=self._now_ms,
            on_change=self._on_change,
        )
        self._task = group.create_task(checking, name=f"health {task.id}")

    def suspend(self) -> None:
        """Stop the check; afterwards it is due."""
        if self._task is not None:
            self._task.cancel()
            self._task = None

    def stop(self) -> None:
        """Stop the check; afterwards none is due."""
        if self._task is not None:
            self._task.cancel()
        self.check = None
