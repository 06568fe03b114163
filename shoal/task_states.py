"""Semantics of task states, shared by planner, dispatcher, agent and command line."""

from shoal.api.v1.task_pb2 import Task, TaskState, TaskStatus

S = TaskState

TERMINAL = frozenset({S.COMPLETE, S.SHUTDOWN, S.FAILED, S.REJECTED, S.REMOVE, S.ORPHANED})

# Looking a value up in an enum takes a microsecond, which the planner would notice.
_RUNNING = S.RUNNING
_READY_HEALTH = frozenset({TaskStatus.NONE, TaskStatus.HEALTHY})


def is_terminal(state: int) -> bool:
    """Nothing runs any more, and the state will not change but to ORPHANED."""
    return state in TERMINAL


def observed_state(task: Task, status: TaskStatus | None) -> int:
    """The state of a task (a TaskState value): the greater of the planner's own and the agent's observation."""
    return max(task.state, status.state) if status is not None else task.state


def should_run(task: Task) -> bool:
    """The planner wants it to run."""
    return task.desired_state <= _RUNNING


def is_live(task: Task, status: TaskStatus | None) -> bool:
    """It holds its node's resources, addresses and ports: it has not ended yet, whatever its desired state."""
    return not is_terminal(observed_state(task, status))


def is_ready(task: Task, status: TaskStatus | None) -> bool:
    """It serves: it runs, listens on its published ports, and passes its health check, if it has one."""
    if status is None or observed_state(task, status) != _RUNNING:
        return False
    return not status.not_listening and status.health in _READY_HEALTH


def shown_desired_state(task: Task, state: int) -> int:
    """The desired state as users see it: a job's is to complete, and what has ended is not to run any more.

    Args:
        state: observed.
    """
    if not should_run(task):
        return task.desired_state
    if task.job_run and not task.container_id:
        return S.COMPLETE
    return S.SHUTDOWN if is_terminal(state) else task.desired_state


def is_forward(old: TaskStatus | None, new: TaskStatus) -> bool:
    """Whether `new` may follow `old`: a later state, or another status of the same one."""
    if old is None:
        return True
    if new.state != old.state:
        return new.state > old.state and not is_terminal(old.state)
    return not is_terminal(old.state) and new.at_ms >= old.at_ms and new != old


def task_name(service_name: str, task: Task) -> str:
    """`web.3.<id>`; a global service's tasks have the node's id in the slot's place."""
    return f"{service_name}.{task.slot or task.node_id}.{task.id}"
