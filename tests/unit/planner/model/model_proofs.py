"""What the model checks of new tasks that are monitored: during an update, and while a command waits.

It keeps book of what agents tell, by the cluster's clock, and shares nothing with how the planner and the control API
find it out but `is_ready` and the templates.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from manager.planner.spec.effective_spec import current_update, effective
from manager.planner.spec.running_template import DesiredTemplate
from manager.planner.updates import update_state
from manager.services import task_counts
from manager.services.exhausted_restarts import stalled_reason
from manager.services.verification import Verification, is_stable
from manager.store.tables import View
from shoal.api.v1.service_pb2 import RestartPolicy, Service, UpdateConfig, UpdateStatus
from shoal.api.v1.task_pb2 import Task, TaskState, TaskStatus
from shoal.task_states import is_live, is_ready, should_run
from tests.unit.planner.model.model_counts import COUNTED

VERIFY_MS = 5_000
YOUNG_MS = 60_000
"""A task that ends by itself before has failed, however short it is watched."""

S = UpdateStatus
WATCHED = (S.UPDATING, S.CANARY, S.ROLLING_BACK)
ENDS = (TaskState.FAILED, TaskState.REJECTED, TaskState.COMPLETE)


@dataclass(frozen=True)
class Before:
    """Records before a pass."""

    tasks: Mapping[str, Task]
    statuses: Mapping[str, TaskStatus]
    updates: Mapping[str, UpdateStatus]
    in_force: Mapping[str, Service]

    @staticmethod
    def of(view: View, in_force: Mapping[str, Service]) -> "Before":
        """As they are now."""
        updates = ((name, current_update(view, service)) for name, service in view.services.items())
        known = {name: update for name, update in updates if update is not None}
        return Before(dict(view.tasks), dict(view.task_status), known, in_force)


@dataclass
class Proofs:
    """Since when each task serves without a break, as reported. Milliseconds since the Unix epoch.

    Attributes:
        since: by the cluster's clock.
        odd: tasks whose agents' clocks are wrong.
    """

    since: dict[str, int] = field(default_factory=dict)
    odd: set[str] = field(default_factory=set)

    def look(self, view: View, now_ms: int) -> None:
        """Record what was reported until now."""
        for task in view.tasks.values():
            status = view.task_status.get(task.id)
            if not is_ready(task, status):
                self.since.pop(task.id, None)
                continue
            self.since.setdefault(task.id, now_ms)
        for gone in self.since.keys() - view.tasks.keys():
            del self.since[gone]

    def check_pass(self, view: View, service: Service, before: Before, now_ms: int) -> None:
        """What a pass, all of which was committed, concludes of an update that was under way when it began."""
        old, new = before.updates.get(service.meta.id), current_update(view, service)
        if old is None or new is None or old.state not in WATCHED or "the user" in new.message:
            return
        in_force = before.in_force[service.meta.id]
        failed = self._failed_slots(view, in_force, old, before)
        if service.spec.HasField("replicated"):
            _check_ratio(service, in_force, old, new, len(failed))
        if new.state in (S.COMPLETED, S.ROLLED_BACK) and "no progress" not in new.message:
            COUNTED["updates completed" if new.state == S.COMPLETED else "rollbacks completed"] += 1
            self._check_counted(view, in_force, old, failed, now_ms)

    def _failed_slots(self, view: View, in_force: Service, update: UpdateStatus, before: Before) -> set[int | str]:
        """Slots in which a new task has failed: each once, however often it did."""
        desired = DesiredTemplate(view, in_force)
        kept = {
            _slot(task) for task in view.tasks_of(in_force.meta.id).values() if task.desired_state < TaskState.REMOVE
        }
        found = set()
        for task in before.tasks.values():
            status = before.statuses.get(task.id)
            if task.service_id != in_force.meta.id or status is None or task.node_id not in view.nodes:
                continue
            is_new = task.created_at_ms >= update.monitored_since_ms and not desired.differs(task)
            if is_new and _slot(task) in kept and _has_failed(task, status, in_force, update):
                found.add(_slot(task))
        return found

    def _check_counted(
        self, view: View, in_force: Service, update: UpdateStatus, failed: set[int | str], now_ms: int
    ) -> None:
        """It has ended well: each new task has served for as long as it was to."""
        desired = DesiredTemplate(view, in_force)
        monitor_ms = update_state.monitor_ms(update_state.config_of(in_force.spec, update))
        for task in view.tasks_of(in_force.meta.id).values():
            status = view.task_status.get(task.id)
            is_new = task.created_at_ms >= update.monitored_since_ms and not desired.differs(task)
            if not is_new or not task.node_id or not should_run(task) or not is_live(task, status):
                continue
            if _slot(task) in failed or task.created_at_ms == now_ms:
                continue
            assert is_ready(task, status), f"the update has ended, and {task.id} does not serve"
            assert now_ms >= task.created_at_ms + monitor_ms, f"the update has ended, and {task.id} is too new"
            if task.id not in self.odd:
                assert now_ms >= self.since[task.id] + monitor_ms, f"the update has ended, and {task.id} is not proven"
            COUNTED["tasks that counted"] += 1


def _check_ratio(service: Service, in_force: Service, old: UpdateStatus, new: UpdateStatus, failed: int) -> None:
    """The failure action is taken when, and only when, too large a share of the slots has failed."""
    config = update_state.config_of(service.spec, old)
    size = in_force.spec.replicated.replicas
    COUNTED["slots that failed"] += failed
    is_taken = new.state == S.PAUSED or (new.state == S.ROLLING_BACK and old.state != S.ROLLING_BACK)
    if failed > config.max_failure_ratio * size:
        is_tolerated = config.failure_action == UpdateConfig.CONTINUE
        assert is_tolerated or is_taken, f"{failed} of {size} have failed, and nothing follows"
    if is_taken and f"of {size} tasks failed" in new.message:
        COUNTED["updates failed"] += 1
        assert f"{failed} of {size} tasks failed" in new.message, f"{failed} have failed: {new.message}"
    elif is_taken:
        assert "no progress" in new.message, f"{failed} of {size} have failed: {new.message}"


def _has_failed(task: Task, status: TaskStatus, in_force: Service, update: UpdateStatus) -> bool:
    if status.state not in ENDS or task.state == TaskState.ORPHANED:
        return False
    condition = in_force.spec.task.restart.condition
    if status.state == TaskState.COMPLETE and condition in (RestartPolicy.NONE, RestartPolicy.ON_FAILURE):
        return False
    monitor_ms = update_state.monitor_ms(update_state.config_of(in_force.spec, update))
    ran_ms = status.at_ms - status.running_at_ms if status.running_at_ms else 0
    return ran_ms < max(monitor_ms, YOUNG_MS)


class Wait:
    """Waits for a service after a change, as the commands do."""

    def __init__(self, view: View, service: Service, now_ms: int) -> None:
        COUNTED["waits"] += 1
        self._proven = is_stable(view, service, since_ms=now_ms - VERIFY_MS)
        self._verification = Verification(VERIFY_MS / 1000, stable=self._proven)
        self._began_ms = now_ms
        self._ended: set[str] = set()
        self._looked = False

    def look(self, view: View, service: Service, proofs: Proofs, now_ms: int) -> bool:
        """Whether the wait is over: the result that is reported then is true."""
        in_force = effective(view, service)
        fresh = task_counts.current_revisions(in_force)
        counted = task_counts.count_tasks(view, service.meta.id, fresh)
        reported = task_counts.progress(view, service)
        under_way = reported.HasField("update") and reported.update.state in WATCHED
        if not self._looked or under_way:
            self._ended = _ended(view, service.meta.id, fresh)
        self._looked = True
        self._verification.evaluate(view, service, reported, counted, now_ms / 1000)
        end = stalled_reason(view, service, reported, counted, now_ms=now_ms)
        if end:
            COUNTED["waits given up"] += 1
            _check_given_up(view, in_force, fresh)
            return True
        if reported.converged:
            self._check_converged(view, in_force, fresh, proofs, now_ms)
        elif reported.stalled:
            COUNTED["waits halted"] += 1
            assert reported.problems or reported.HasField("update"), "the wait is over, and nobody says why"
        return reported.converged or reported.stalled

    def _check_converged(self, view: View, service: Service, fresh: range, proofs: Proofs, now_ms: int) -> None:
        """All run what is wanted; those of a new template for as long as they are watched, or they are healthy."""
        COUNTED["waits converged"] += 1
        tasks = [
            task
            for task in view.tasks_of(service.meta.id).values()
            if should_run(task) and is_live(task, view.task_status.get(task.id))
        ]
        statuses = {task.id: view.task_status.get(task.id) for task in tasks}
        assert all(is_ready(task, statuses[task.id]) and task.revision in fresh for task in tasks)
        if self._proven or not tasks:
            return
        new = _ended(view, service.meta.id, fresh) - self._ended
        spec = service.spec.task.restart
        lenient = spec.condition in (RestartPolicy.NONE, RestartPolicy.ON_FAILURE)
        failed = [each for each in new if not lenient or view.task_status[each].state == TaskState.FAILED]
        assert not failed, f"{failed} have ended while they were watched, and the service has converged"
        if _are_healthy(statuses.values()):
            COUNTED["tasks verified by health"] += len(tasks)
            return
        for task in tasks:
            COUNTED["tasks verified"] += 1
            served_ms = now_ms - proofs.since[task.id]
            assert served_ms >= VERIFY_MS, f"{task.id} has run for {served_ms} ms, and the service has converged"


def _check_given_up(view: View, service: Service, fresh: range) -> None:
    """What does not run has ended, and its policy says that it is not started again."""
    policy = service.spec.task.restart
    assert policy.condition == RestartPolicy.NONE or policy.max_attempts, "it is started again"
    tasks = view.tasks_of(service.meta.id).values()
    living = [task for task in tasks if is_live(task, view.task_status.get(task.id))]
    up = {_slot(task) for task in living if should_run(task)}
    newest: dict[int | str, Task] = {}
    for task in sorted(tasks, key=lambda task: (task.created_at_ms, task.attempt, task.id)):
        newest[_slot(task)] = task
    ended = [task for slot, task in newest.items() if slot not in up and should_run(task) and task.revision in fresh]
    failed = [task for task in ended if view.task_status[task.id].state in (TaskState.FAILED, TaskState.REJECTED)]
    assert failed or policy.condition not in (RestartPolicy.NONE, RestartPolicy.ON_FAILURE), "all has ended well"


def _are_healthy(statuses: Iterable[TaskStatus | None]) -> bool:
    return all(status is not None and status.health == TaskStatus.HEALTHY for status in statuses)


def _ended(view: View, service_id: str, fresh: range) -> set[str]:
    """Tasks of the template that have ended by themselves."""
    return {
        task.id
        for task in view.tasks_of(service_id).values()
        if task.revision in fresh
        and (status := view.task_status.get(task.id)) is not None
        and status.state in (TaskState.FAILED, TaskState.COMPLETE)
    }


def _slot(task: Task) -> int | str:
    return task.slot or task.node_id
