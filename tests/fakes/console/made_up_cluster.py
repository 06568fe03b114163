"""A cluster that is not there, for the console's pages: nodes, services, tasks, and changes at any rate."""

import asyncio
import random
import time
from collections.abc import AsyncGenerator, Iterator
from contextlib import suppress

from shoal.api.v1.control_pb2 import ClusterChanges, TaskSummary
from shoal.api.v1.node_pb2 import NodeSpec, NodeStatus
from shoal.api.v1.service_pb2 import Service
from shoal.api.v1.task_pb2 import TaskState, TaskStatus

PART = 500
INTERVAL_SECONDS = 0.05
_BUSY = (TaskState.RUNNING,) * 6 + (TaskState.STARTING, TaskState.PREPARING, TaskState.FAILED)
_CALM = (TaskState.RUNNING,) * 60 + (TaskState.STARTING,) * 3 + (TaskState.PREPARING, TaskState.FAILED)
_NAMES = ("web", "api", "worker", "search", "cache", "mail", "billing", "thumbnails", "sessions", "reports", "ingest")


class MadeUpCluster:
    """The same for the same numbers.

    Args:
        changes: tasks that change in a second.
        mark: a part of every name and text that somebody may write.
        calm: few tasks start or fail, and services have names of a shop.
    """

    def __init__(
        self, *, nodes: int, tasks: int, services: int, changes: int, mark: str = "", calm: bool = False
    ) -> None:
        self._mark, self._calm = mark, calm
        self._states = _CALM if calm else _BUSY
        self._random = random.Random(1)  # nothing secret
        self._nodes, self._tasks, self._services, self._changes = nodes, tasks, services, changes
        self._asked: asyncio.Queue[ClusterChanges] = asyncio.Queue()

    async def watch(self) -> AsyncGenerator[ClusterChanges]:
        """What WatchCluster would say, forever."""
        for part in self.snapshot():
            yield part
        yield ClusterChanges(complete=True)
        due = time.monotonic()
        while True:
            due += INTERVAL_SECONDS
            while (wait := due - time.monotonic()) > 0:
                with suppress(TimeoutError):
                    async with asyncio.timeout(wait):
                        yield await self._asked.get()
            if self._changes:
                yield self.increment()

    def increment(self) -> ClusterChanges:
        """Tasks that change in an interval."""
        numbers = self._random.sample(range(self._tasks), max(1, round(self._changes * INTERVAL_SECONDS)))
        return ClusterChanges(tasks=[self._task(each, self._random.choice(self._states)) for each in numbers])

    def set_availability(self, number: int, availability: "NodeSpec.Availability.ValueType") -> None:
        """Change a node, at once."""
        changes = ClusterChanges()
        self._add_node(changes, number)
        changes.nodes[0].spec.availability = availability
        self._asked.put_nowait(changes)

    def set_state(self, number: int, state: "TaskState.ValueType") -> None:
        """Change a task, at once."""
        self._asked.put_nowait(ClusterChanges(tasks=[self._task(number, state)]))

    def snapshot(self) -> Iterator[ClusterChanges]:
        first = ClusterChanges()
        for number in range(self._nodes):
            self._add_node(first, number)
        first.services.extend(self._service(number) for number in range(self._services))
        yield first
        for begin in range(0, self._tasks, PART):
            numbers = range(begin, min(begin + PART, self._tasks))
            yield ClusterChanges(tasks=[self._task(each, TaskState.RUNNING) for each in numbers])

    def _add_node(self, changes: ClusterChanges, number: int) -> None:
        changes.nodes.add().meta.id = f"node{number}"
        status = changes.node_status.add(node_id=f"node{number}", state=NodeStatus.READY, since_ms=_now_ms())
        about = status.description
        about.hostname, about.address = f"h{number + 1}{self._mark}", f"10.0.{number // 250}.{number % 250 + 1}"
        about.agent_version, about.certificate_expires_at_ms = "0.1.0", _now_ms() + (50 + number % 40) * 86_400_000
        changes.nodes[-1].spec.labels["rack"] = f"r{number % 4 + 1}{self._mark}"
        about.resources.nano_cpus, about.resources.memory_bytes = 16 * 10**9, 64 << 30
        about.platform.os, about.platform.architecture = "linux", "amd64"
        if number % 97 == 3:
            status.network_condition.problems.append(
                f"the path to h7 lets through packets of 1,400 bytes alone{self._mark}"
            )

    def _service(self, number: int) -> Service:
        service = Service(revision=1, task_revision=1)
        service.meta.id, service.meta.updated_at_ms = f"service{number}", _now_ms()
        service.spec.stack = f"shop{self._mark}" if self._calm or number % 3 == 0 else ""
        name = f"shop_{_NAMES[number]}" if self._calm and number < len(_NAMES) else f"web{number}"
        service.spec.name = f"{name}{self._mark}"
        service.spec.labels["team"] = f"checkout{self._mark}"
        service.spec.replicated.replicas = self._tasks // self._services
        service.spec.task.container.image = f"registry.example/{name}:2.1"
        return service

    def _task(self, number: int, state: "TaskState.ValueType") -> TaskSummary:
        return TaskSummary(
            id=f"task{number:09d}",
            service_id=f"service{number % self._services}",
            revision=1,
            slot=number // self._services + 1,
            node_id=f"node{number % self._nodes}",
            state=state,
            desired_state=TaskState.RUNNING,
            health=TaskStatus.HEALTHY,
            message=f"exit code 1{self._mark}" if state == TaskState.FAILED else "",
            since_ms=_now_ms(),
            reserved_nano_cpus=25 * 10**7,
            reserved_memory_bytes=1 << 30,
        )


def _now_ms() -> int:
    return int(time.time() * 1000)
