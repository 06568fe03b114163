"""Containers of one's own in a cluster in virtual time: records as the calls write them, and agents."""

from collections.abc import Callable

from manager.containers import container_records
from manager.controllers.container_collector import collectable
from manager.store import kinds
from manager.store.changes import delete
from shoal.api.v1.node_pb2 import NodeStatus
from shoal.api.v1.service_pb2 import ServiceStatus
from shoal.api.v1.standalone_pb2 import Container, ContainerDefinition, ContainerStop
from shoal.api.v1.task_pb2 import Task, TaskState, TaskStatus
from shoal.task_states import is_live, is_terminal, should_run
from tests.fakes.planner_world import World

_NO_STOP = ContainerStop()


def definition(**fields: object) -> ContainerDefinition:
    """The least valid definition, with these fields."""
    found = ContainerDefinition(**fields)  # type: ignore[arg-type]  # the caller's
    found.task.container.image = found.task.container.image or "a:1"
    return found


class ContainerWorld(World):
    """A world whose tables have containers; ids as the product makes them."""

    def __init__(self) -> None:
        super().__init__()
        self._created = 0

    def create(self, name: str, made: ContainerDefinition | None = None, *, starts: bool = False) -> str:
        """Create a container; its id.

        Args:
            starts: with its first run.
        """
        self._created += 1
        identifier = f"{self._created:013d}"
        container = container_records.new_container(identifier, name, made or definition(), self.now_ms)
        if starts:
            container = container_records.started(container, self.now_ms, self.now_ms + 60_000)
        self.apply(container_records.creation(self.tables, container).writes)
        return identifier

    def container(self, identifier: str) -> Container:
        """The record."""
        return self.tables.containers[identifier]

    def change(self, identifier: str, change: Callable[[Container], Container]) -> None:
        """Write the record as this makes it of the present one."""
        before = self.container(identifier)
        self.apply(container_records.change(before, change(before), self.now_ms).writes)

    def start(self, identifier: str, start_by_ms: int = 0) -> None:
        self.change(identifier, lambda each: container_records.started(each, self.now_ms, start_by_ms))

    def stop(self, identifier: str, how: ContainerStop = _NO_STOP) -> None:
        self.change(identifier, lambda each: container_records.stopped(each, how, self.now_ms))

    def restart(self, identifier: str) -> None:
        self.change(identifier, lambda each: container_records.restarted(each, _NO_STOP, self.now_ms))

    def kill(self, identifier: str) -> None:
        """The user's signal ends it, if it runs."""
        self.change(identifier, lambda each: container_records.held(each, self.now_ms))
        task = self.newest(identifier)
        if task is not None and self.is_reachable(task) and self.state(task) == TaskState.RUNNING:
            self.report(task, TaskState.FAILED)

    def remove(self, identifier: str) -> None:
        self.change(
            identifier,
            lambda each: container_records.removed(each, with_volumes=True, force=True, now_ms=self.now_ms),
        )

    def collect(self) -> None:
        """What the collector deletes now."""
        for container in [*self.tables.containers.values()]:
            if collectable(self.tables, container):
                self.apply(container_records.deletion(container).writes)

    def remove_node(self, name: str) -> None:
        """The user removes a node, which is down."""
        self.apply([delete(kinds.NODE, name), delete(kinds.NODE_STATUS, name)])

    def is_reachable(self, task: Task) -> bool:
        """Whether the task's agent reports."""
        status = self.tables.node_status.get(task.node_id)
        return status is not None and status.state == NodeStatus.READY

    def obey(self, *, at_once: int | None = None) -> bool:
        """As of any task; what was created becomes READY and stays so."""
        busy = False
        for task in [*self.tables.tasks.values()]:
            if task.desired_state != TaskState.READY or not self.is_reachable(task) or is_terminal(self.state(task)):
                continue
            if self.state(task) < TaskState.READY:
                self.report(task, TaskState.READY)
                busy = True
        waiting = {task.id for task in self.tables.tasks.values() if task.desired_state == TaskState.READY}
        for task in [*self.tables.tasks.values()]:
            if task.id in waiting or not self.is_reachable(task) or is_terminal(self.state(task)):
                continue
            if should_run(task) and self.state(task) < TaskState.RUNNING:
                self.report(task, TaskState.RUNNING)
                busy = True
            elif not should_run(task):
                self.report(task, TaskState.SHUTDOWN)
                busy = True
        self._observe()
        return busy

    def end(self, identifier: str, state: TaskState.ValueType = TaskState.COMPLETE) -> None:
        """The newest run ends by itself."""
        task = self.newest(identifier)
        assert task is not None
        self.report(task, state)

    def newest(self, identifier: str) -> Task | None:
        """The newest task: of the newest run, and where it is to run."""
        tasks = self.tables.tasks_of(identifier).values()
        order = sorted(tasks, key=lambda task: (task.job_run, task.attempt, should_run(task), task.created_at_ms))
        return order[-1] if order else None

    def runs(self, identifier: str) -> list[Task]:
        """Tasks that run by what was reported."""
        return [task for task in self.tables.tasks_of(identifier).values() if self.state(task) == TaskState.RUNNING]

    def live_tasks(self, identifier: str) -> list[Task]:
        """Tasks that have not ended."""
        status_of: Callable[[str], TaskStatus | None] = self.tables.task_status.get
        return [task for task in self.tables.tasks_of(identifier).values() if is_live(task, status_of(task.id))]

    def status(self, identifier: str) -> ServiceStatus:
        """What the planner says of it."""
        return self.tables.service_status.get(identifier) or ServiceStatus()
