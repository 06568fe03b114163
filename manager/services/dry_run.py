"""Dry run of a change: the real planner on a copy of the records, with simulated agents.

Time is virtual: nothing is waited for, every container starts and is healthy, and those of jobs complete.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence

from manager.planner.incremental_planner import IncrementalPlanner
from manager.records.object_lookup import hostname_of
from manager.store import kinds
from manager.store.changes import Change, Expect, Write, put
from manager.store.kinds import Kind, M
from manager.store.record_store import RecordStore
from manager.store.subscription import Subscription
from manager.store.tables import Tables, View
from manager.volumes.volume_drivers import is_csi
from shoal.api.v1.control_pb2 import TaskMove
from shoal.api.v1.service_pb2 import Dependency, ServiceStatus
from shoal.api.v1.task_pb2 import Task, TaskState, TaskStatus
from shoal.api.v1.volume_pb2 import VolumeStatus
from shoal.ids import NewId
from shoal.task_states import is_terminal, observed_state, should_run

MAX_PASSES = 2000
"""Passes of the planner; an update of a thousand tasks one by one takes two each."""
HORIZON_MS = 7 * 24 * 3600 * 1000
"""What is due later than that is not waited for."""
MAX_MOVES = 10_000

_JOBS = frozenset({"replicated_job", "global_job"})


class DryRunStore:
    """A store whose commits change only a copy of the tables. Conditions are assumed to hold."""

    def __init__(self, store: RecordStore) -> None:
        self._store = store
        self.tables = store.tables.copy()

    @property
    def max_operations(self) -> int:
        """As of the real store."""
        return self._store.max_operations

    def version_of(self, kind: Kind[M], identifier: str) -> int:
        """As in the real store."""
        return self._store.version_of(kind, identifier)

    def follow(self) -> Subscription:
        """Changes of the real store: those of the copy are not published."""
        return self._store.follow()

    async def commit(self, writes: Sequence[Write], *, expects: Sequence[Expect] = (), fence: int | None = None) -> int:
        """Always succeeds."""
        apply(self.tables, writes)
        return self.tables.revision


def apply(tables: Tables, writes: Iterable[Write]) -> list[Change]:
    """Apply the writes to the tables; the changes that resulted."""
    changes = []
    for write in writes:
        old = tables.rows(write.kind).get(write.identifier)
        if old is not None or write.value is not None:
            changes.append(Change(write.kind, write.identifier, old, write.value))
            tables.apply(changes[-1:], tables.revision + 1)
    return changes


class DryRun:
    """One dry run.

    Args:
        tables: a copy of the manager's tables, with the writes of the dry run; it is modified.
        now_ms: the beginning of virtual time.
    """

    def __init__(self, tables: Tables, *, now_ms: int, new_id: NewId) -> None:
        self._tables = tables
        self._now_ms = now_ms
        self._until_ms = now_ms + HORIZON_MS
        self._new_id = new_id
        self._before = {identifier: _tasks_by_slot(tables, identifier) for identifier in tables.services_with_tasks()}
        apply(tables, [*_skipped_schedules(tables, self._until_ms), *_created_volumes(tables)])
        self._planner = IncrementalPlanner(tables)

    def run(self, services: Collection[str]) -> bool:
        """Continue until the services (IDs) are at rest; False when that takes too long."""
        for _ in range(MAX_PASSES):
            outcome = self._planner.plan(now_ms=self._now_ms, new_id=self._new_id)
            self._apply(outcome.writes)
            if self._advance_tasks(services) or outcome.writes:
                continue
            due = self._planner.next_due_ms()
            if due is None or due > self._until_ms:
                return True
            self._now_ms = max(self._now_ms, due)
        return False

    def moves(self, service_id: str, name: str) -> list[TaskMove]:
        """Where the slots of the service end up, compared with the beginning; tasks that stay are left out."""
        view = self._tables
        before, after = self._before.get(service_id, {}), _tasks_by_slot(view, service_id)
        moves = [
            _move(view, f"{name}.{key}", before.get(key), after.get(key))
            for key in sorted({*before, *after}, key=lambda key: (not key.isdigit(), key.zfill(10)))
            if not _same(before.get(key), after.get(key))
        ]
        status = view.service_status.get(service_id)
        if not after and status is not None and status.problems:
            moves.append(TaskMove(name=name, pending_reason=status.problems[0]))
        return moves[:MAX_MOVES]

    def _apply(self, writes: Iterable[Write]) -> None:
        self._planner.observe(apply(self._tables, writes))

    def _advance_tasks(self, services: Collection[str]) -> bool:
        """Advance each task of the services by one state; whether any changed."""
        ending = set(_completing_services(self._tables))
        steps = [
            status
            for identifier in services
            for task in self._tables.tasks_of(identifier).values()
            if (status := self._next_status(task, identifier in ending)) is not None
        ]
        self._apply(put(kinds.TASK_STATUS, status.task_id, status) for status in steps)
        return bool(steps)

    def _next_status(self, task: Task, ends: bool) -> TaskStatus | None:
        known = self._tables.task_status.get(task.id)
        state = observed_state(task, known)
        if not task.node_id or is_terminal(state):
            return None
        if not should_run(task):
            following = TaskState.SHUTDOWN
        elif state < TaskState.RUNNING:
            following = TaskState.RUNNING
        elif ends:
            following = TaskState.COMPLETE
        else:
            return None
        status = TaskStatus(task_id=task.id, state=following, at_ms=self._now_ms, health=TaskStatus.HEALTHY)
        status.running_at_ms = known.running_at_ms if known is not None else 0
        status.running_at_ms = status.running_at_ms or self._now_ms
        return status


def _skipped_schedules(view: View, until_ms: int) -> Iterator[Write]:
    """Mark schedules as handled: otherwise a dry run would start their runs forever."""
    for identifier, service in view.services.items():
        if service.spec.HasField("schedule"):
            status = ServiceStatus(service_id=identifier)
            status.MergeFrom(view.service_status.get(identifier, status))
            schedule = service.spec.schedule
            status.schedule.cron, status.schedule.timezone = schedule.cron, schedule.timezone
            status.schedule.handled_until_ms = until_ms
            yield put(kinds.SERVICE_STATUS, identifier, status)


def _created_volumes(view: View) -> Iterator[Write]:
    """Volumes of CSI drivers are created at once."""
    for identifier, volume in view.volumes.items():
        if is_csi(volume.spec) and identifier not in view.volume_status:
            status = VolumeStatus(volume_id=identifier, driver_volume_id=volume.spec.name)
            yield put(kinds.VOLUME_STATUS, identifier, status)


def _completing_services(view: View) -> Iterator[str]:
    """IDs of services whose tasks end by themselves: jobs, and services that others wait for to complete."""
    expected = {
        dependency.service
        for service in view.services.values()
        for dependency in service.spec.depends_on
        if dependency.condition == Dependency.COMPLETED
    }
    for identifier, service in view.services.items():
        if service.spec.WhichOneof("mode") in _JOBS or service.spec.name in expected:
            yield identifier


def _tasks_by_slot(view: View, service_id: str) -> dict[str, Task]:
    """The task of each slot that should run, or is complete."""
    found: dict[str, Task] = {}
    for task in view.tasks_of(service_id).values():
        state = observed_state(task, view.task_status.get(task.id))
        if state == TaskState.COMPLETE or (should_run(task) and not is_terminal(state)):
            key = str(task.slot) if task.slot else hostname_of(view, task.node_id)
            if key not in found or found[key].created_at_ms <= task.created_at_ms:
                found[key] = task
    return found


def _same(before: Task | None, after: Task | None) -> bool:
    return before is not None and after is not None and before.id == after.id and before.node_id == after.node_id


def _move(view: View, name: str, before: Task | None, after: Task | None) -> TaskMove:
    return TaskMove(
        name=name,
        from_hostname=hostname_of(view, before.node_id) if before is not None and before.node_id else "",
        to_hostname=hostname_of(view, after.node_id) if after is not None and after.node_id else "",
        pending_reason=after.reason if after is not None and not after.node_id else "",
    )
