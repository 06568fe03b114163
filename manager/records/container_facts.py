"""What is known of a container of one's own from its tasks: its newest run, its node, whether it runs. Pure."""

from manager.store.tables import View
from shoal.api.v1.standalone_pb2 import Container, ContainerRestart
from shoal.api.v1.task_pb2 import Task, TaskState
from shoal.task_states import is_live, is_terminal, observed_state, should_run

_NEVER = frozenset({ContainerRestart.CONDITION_UNSPECIFIED, ContainerRestart.NO})


def newest_task(view: View, container_id: str) -> Task | None:
    """The task of the newest run, where that is to be; None before the container was placed."""
    tasks = view.tasks_of(container_id)
    if len(tasks) < 2:  # as of most
        return next(iter(tasks.values()), None)
    return max(tasks.values(), key=_order)


def _order(task: Task) -> tuple[int, int, bool, int, str]:
    return task.job_run, task.attempt, should_run(task), task.created_at_ms, task.id


def node_of(view: View, container_id: str) -> str:
    """Id of the node where it is, also of one that was removed; empty before it was placed."""
    status, task = view.service_status.get(container_id), newest_task(view, container_id)
    if status is not None and status.node_id:
        return status.node_id
    return task.node_id if task is not None else ""


def boot_of(view: View, container_id: str) -> str:
    """Id of the newest boot of the container's node; empty: unknown."""
    status = view.node_status.get(node_of(view, container_id))
    return status.description.boot_id if status is not None else ""


def is_running(view: View, container_id: str) -> bool:
    """Whether a run of it was begun and has not ended, as far as is known."""
    tasks = view.tasks_of(container_id).values()
    return any(each.desired_state != TaskState.READY and is_live(each, view.task_status.get(each.id)) for each in tasks)


def has_live_task(view: View, container_id: str) -> bool:
    """Whether its node may have anything of it in hand: a run, or the creation."""
    return any(is_live(each, view.task_status.get(each.id)) for each in view.tasks_of(container_id).values())


def is_restarting(view: View, container: Container) -> bool:
    """Whether it has ended, and is to be started again by its policy or by its user."""
    identifier = container.meta.id
    status = view.service_status.get(identifier)
    finished = status is not None and status.finished_run == container.run
    if container.desired != Container.RUNNING or finished or is_running(view, identifier):
        return False
    # Without a policy, the end of a run is the end of it, even before the planner has written that.
    return container.definition.restart.condition not in _NEVER or not _has_ended(view, container)


def _has_ended(view: View, container: Container) -> bool:
    """Whether the run that its user asked for last has ended; not that it is still to be planned."""
    task = newest_task(view, container.meta.id)
    return (
        task is not None
        and task.job_run == container.run
        and is_terminal(observed_state(task, view.task_status.get(task.id)))
    )
