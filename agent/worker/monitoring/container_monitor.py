"""Monitors a running container (health check, listening ports) and updates the task status."""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial

from agent.health.probes import HealthProber
from agent.worker.container_runtime import Running
from agent.worker.interfaces import ImageConfig, Sockets
from agent.worker.monitoring.health_check_runner import HealthCheckRunner
from agent.worker.monitoring.listening_check import ExpectedPorts, ListeningCheck, expected_ports
from shoal.api.v1.container_pb2 import Healthcheck
from shoal.api.v1.service_pb2 import ServiceRevision
from shoal.api.v1.task_pb2 import Task, TaskLink, TaskStatus
from shoal.task_group import TaskGroup

StatusChange = Callable[[TaskStatus], None]


class ContainerMonitor:
    """Monitors the container of one task.

    Args:
        check: from the journal, for a container that an earlier process of the agent started.
        on_change: takes each resulting change of the status.
    """

    def __init__(
        self,
        *,
        prober: HealthProber,
        read_sockets: Callable[[int], Awaitable[Sockets]],
        now_ms: Callable[[], int],
        on_change: Callable[[StatusChange], None],
        check: Healthcheck | None = None,
    ) -> None:
        self._health = HealthCheckRunner(
            prober=prober,
            now_ms=now_ms,
            on_change=lambda health, line: on_change(partial(set_health, health=health, line=line)),
            check=check,
        )
        self._listening = ListeningCheck(
            read_sockets=read_sockets,
            on_result=lambda not_listening, warning: on_change(
                partial(set_not_listening, not_listening=not_listening, warning=warning)
            ),
        )
        self._listening_task: asyncio.Task[None] | None = None

    @property
    def check(self) -> Healthcheck | None:
        return self._health.check

    def configure(self, revision: ServiceRevision, task: Task, image: ImageConfig) -> None:
        """Configure the checks of a container that is about to start. A health check replaces the listening check."""
        container = revision.spec.task.container
        self._health.configure(container.healthcheck, image.healthcheck)
        receives_traffic = len(task.addresses) > 0 or len(task.ports) > 0
        expected = (
            expected_ports(revision.spec.endpoint.ports, image.exposed_ports) if receives_traffic else ExpectedPorts()
        )
        self._listening.configure(expected if self.check is None else ExpectedPorts())

    def mark_started(self, status: TaskStatus) -> None:
        """The container is running, and no check has passed yet."""
        if self.check is not None and status.health == TaskStatus.NONE:
            status.health = TaskStatus.STARTING
        status.not_listening = self._listening.is_needed

    def is_due(self, status: TaskStatus) -> bool:
        """Whether there is a check that is not running."""
        if status.paused:
            return False
        return self._health.is_due() or (status.not_listening and self._listening_task is None)

    def start(self, group: TaskGroup, task: Task, running: Running, status: TaskStatus) -> None:
        """Run the checks until they have ended, or until `stop`."""
        if self._health.is_due():
            self._health.start(group, task, running, status.health)
        if status.not_listening and self._listening_task is None:
            self._listening_task = group.create_task(self._listening.run(running.pid), name=f"listeners {task.id}")

    def suspend(self) -> None:
        """The container is paused: it cannot answer a health check, which is due again when it goes on."""
        self._health.suspend()

    def stop(self) -> None:
        """Stop the checks; afterwards none is due."""
        self._health.stop()
        if self._listening_task is not None:
            self._listening_task.cancel()


def set_health(status: TaskStatus, *, health: TaskStatus.Health.ValueType, line: str) -> None:
    status.health, status.health_output = health, line


def set_not_listening(status: TaskStatus, *, not_listening: bool, warning: str) -> None:
    status.not_listening = not_listening
    add_warning(status, warning)


def set_paused(status: TaskStatus, *, paused: bool) -> None:
    status.paused = paused


def set_revision(status: TaskStatus, *, revision: int, link: TaskLink, warning: str) -> None:
    status.revision = revision
    status.link.CopyFrom(link)
    add_warning(status, warning)


def add_warning(status: TaskStatus, warning: str) -> None:
    status.warning = "; ".join(filter(None, [status.warning, warning]))
