"""Whether a service has come to its end though it has not converged: what has ended is not started again. Pure.

So it is with restart condition `none` and a task that failed or never started, or once its attempts are used up. Who
waits for the service is told at once.
"""

from collections import defaultdict
from collections.abc import Iterable

from manager.control_api.counting import Count, fresh_revisions
from manager.planner import restart
from manager.planner.effective import effective
from manager.planner.modes import is_job
from manager.store.tables import View
from shoal.api.v1.control_pb2 import ServiceProgress
from shoal.api.v1.service_pb2 import Service, UpdateStatus
from shoal.api.v1.task_pb2 import Task
from shoal.task_states import is_terminal, is_wanted, observed

_UPDATE_ENDED = frozenset({UpdateStatus.COMPLETED, UpdateStatus.ROLLED_BACK})


def end_of(view: View, service: Service, told: ServiceProgress, counted: Count, *, now_ms: int) -> str:
    """Why nothing is to be waited for any more, one line for the user; empty while there is.

    Args:
        service: not a job.
        told: how far it is.
        counted: its tasks.
        now_ms: milliseconds since the Unix epoch.
    """
    if told.converged or told.halted or (told.HasField("update") and told.update.state not in _UPDATE_ENDED):
        return ""
    missing = told.desired - told.completed - counted.wanted
    if missing <= 0 or counted.stopping or counted.running != counted.wanted:
        return ""  # something is on its way, or the planner has not acted yet
    lines = given_up(view, service, now_ms=now_ms)
    if len(lines) != missing:
        return ""
    others = f" (and {len(lines) - 1} more)" if len(lines) > 1 else ""
    return f"{lines[0]}{others}; it is not started again; see `shoal service ps {service.spec.name}`"


def given_up(view: View, service: Service, *, now_ms: int) -> list[str]:
    """How the tasks of those slots have ended that get no further one though they are not done; of no job.

    Args:
        now_ms: milliseconds since the Unix epoch.
    """
    if is_job(service.spec):
        return []
    service = effective(view, service)
    fresh = fresh_revisions(service)
    slots: defaultdict[int | str, list[Task]] = defaultdict(list)
    for task in view.tasks_of(service.meta.id).values():
        slots[task.slot or task.node_id].append(task)
    lines = (_line(view, service, tasks, fresh, now_ms) for _, tasks in sorted(slots.items(), key=_by_number))
    return [line for line in lines if line]


def _by_number(slot: tuple[int | str, list[Task]]) -> tuple[int, str]:
    key = slot[0]
    return (key, "") if isinstance(key, int) else (0, key)


def _line(view: View, service: Service, tasks: Iterable[Task], fresh: range, now_ms: int) -> str:
    ends = []
    for task in sorted(tasks, key=lambda each: (each.created_at_ms, each.attempt, each.id)):
        status = view.task_status.get(task.id)
        if not is_terminal(observed(task, status)):
            return ""
        if task.revision in fresh:
            ends.append((task, status))
    if not ends or not is_wanted(ends[-1][0]):
        return ""
    return restart.answer(service.spec.task.restart, ends, now_ms=now_ms).problem
