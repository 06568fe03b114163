"""What is watched of a running container: its health, and whether it listens. Their news change the task's status."""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial

from agent.health.probes import Prober
from agent.worker.health_keeper import HealthKeeper
from agent.worker.opening import Awaited, Opening, awaited
from agent.worker.seams import ImageConfig, Running, Sockets
from shoal.api.v1.container_pb2 import Healthcheck
from shoal.api.v1.service_pb2 import ServiceRevision
from shoal.api.v1.task_pb2 import Task, TaskStatus
from shoal.task_group import TaskGroup

Change = Callable[[TaskStatus], None]


class Watches:
    """One task's.

    Args:
        check: of the journal, for a container that an earlier process of the agent started.
        tell: takes each change of the status that follows from what is seen.
    """

    def __init__(
        self,
        *,
        prober: Prober,
        look: Callable[[int], Awaitable[Sockets]],
        now_ms: Callable[[], int],
        tell: Callable[[Change], None],
        check: Healthcheck | None = None,
    ) -> None:
        self._health = HealthKeeper(
            prober=prober,
            now_ms=now_ms,
            tell=lambda health, line: tell(partial(set_health, health=health, line=line)),
            check=check,
        )
        self._opening = Opening(
            look=look, tell=lambda opening, notice: tell(partial(set_opening, opening=opening, notice=notice))
        )
        self._watching: asyncio.Task[None] | None = None

    @property
    def check(self) -> Healthcheck | None:
        return self._health.check

    def choose(self, revision: ServiceRevision, task: Task, image: ImageConfig) -> None:
        """Settle what a container that is about to start has to prove. A health check says more than a listener."""
        container = revision.spec.task.container
        self._health.choose(container.healthcheck, image.healthcheck)
        is_led_to = len(task.addresses) > 0 or len(task.ports) > 0
        wanted = awaited(revision.spec.endpoint.ports, image.exposed_ports) if is_led_to else Awaited()
        self._opening.choose(wanted if self.check is None else Awaited())

    def begin(self, status: TaskStatus) -> None:
        """The container runs, and has proved nothing yet."""
        if self.check is not None and status.health == TaskStatus.NONE:
            status.health = TaskStatus.STARTING
        status.opening = self._opening.is_needed

    def is_due(self, status: TaskStatus) -> bool:
        """There is something to watch, and nobody does."""
        return self._health.is_due() or (status.opening and self._watching is None)

    def start(self, group: TaskGroup, task: Task, running: Running, status: TaskStatus) -> None:
        """Watch until all is known, or `stop`."""
        if self._health.is_due():
            self._health.start(group, task, running, status.health)
        if status.opening and self._watching is None:
            self._watching = group.create_task(self._opening.watch(running.pid), name=f"listeners {task.id}")

    def stop(self) -> None:
        """Watch no more; it is as if there were nothing to watch."""
        self._health.stop()
        if self._watching is not None:
            self._watching.cancel()


def set_health(status: TaskStatus, *, health: TaskStatus.Health.ValueType, line: str) -> None:
    status.health, status.health_output = health, line


def set_opening(status: TaskStatus, *, opening: bool, notice: str) -> None:
    status.opening = opening
    add_notice(status, notice)


def add_notice(status: TaskStatus, notice: str) -> None:
    status.notice = "; ".join(filter(None, [status.notice, notice]))
