"""Whether a service has failed for good: ended tasks that the restart policy does not restart. Pure.

This is the case with restart condition `none` and a task that failed or never started, or once its attempts are used
up. Clients that wait for the service are told at once.
"""

from collections import defaultdict
from collections.abc import Iterable

from manager.planner.spec.effective_spec import effective
from manager.planner.spec.service_modes import is_job
from manager.services.task_counts import UPDATE_ENDED, TaskCounts, current_revisions
from manager.store.tables import View
from shoal.api.v1.control_pb2 import ServiceProgress
from shoal.api.v1.service_pb2 import Service
from shoal.api.v1.task_pb2 import Task
from shoal.restarts import restart_policy
from shoal.task_states import is_terminal, observed_state, should_run


def stalled_reason(view: View, service: Service, progress: ServiceProgress, counted: TaskCounts, *, now_ms: int) -> str:
    """Why waiting longer is pointless, one line for the user; empty otherwise.

    Args:
        service: not a job.
        progress: its progress.
        counted: the counts of its tasks.
        now_ms: milliseconds since the Unix epoch.
    """
    if (
        progress.converged
        or progress.stalled
        or (progress.HasField("update") and progress.update.state not in UPDATE_ENDED)
    ):
        return ""
    missing = progress.desired - progress.completed - counted.active
    if missing <= 0 or counted.stopping or counted.running != counted.active:
        return ""  # something is in progress, or the planner has not acted yet
    lines = exhausted_slots(view, service, now_ms=now_ms)
    if len(lines) != missing:
        return ""
    others = f" (and {len(lines) - 1} more)" if len(lines) > 1 else ""
    return f"{lines[0]}{others}; not restarting; see `shoal service ps {service.spec.name}`"


def exhausted_slots(view: View, service: Service, *, now_ms: int) -> list[str]:
    """For each slot that is not restarted although it has not completed: how its last task ended. Empty for jobs.

    Args:
        now_ms: milliseconds since the Unix epoch.
    """
    if is_job(service.spec):
        return []
    service = effective(view, service)
    fresh = current_revisions(service)
    slots: defaultdict[int | str, list[Task]] = defaultdict(list)
    for task in view.tasks_of(service.meta.id).values():
        slots[task.slot or task.node_id].append(task)
    lines = (_slot_reason(view, service, tasks, fresh, now_ms) for _, tasks in sorted(slots.items(), key=_slot_order))
    return [line for line in lines if line]


def _slot_order(slot: tuple[int | str, list[Task]]) -> tuple[int, str]:
    key = slot[0]
    return (key, "") if isinstance(key, int) else (0, key)


def _slot_reason(view: View, service: Service, tasks: Iterable[Task], fresh: range, now_ms: int) -> str:
    ends = []
    for task in sorted(tasks, key=lambda each: (each.created_at_ms, each.attempt, each.id)):
        status = view.task_status.get(task.id)
        if not is_terminal(observed_state(task, status)):
            return ""
        if task.revision in fresh:
            ends.append((task, status))
    if not ends or not should_run(ends[-1][0]):
        return ""
    return restart_policy.decide(service.spec.task.restart, ends, now_ms=now_ms).problem
