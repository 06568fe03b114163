"""Docker's words for the state of a container, and the text of a listing's column STATUS. Pure."""

from shoal.api.v1.engine_pb2 import ContainerView
from shoal.api.v1.standalone_pb2 import Container
from shoal.api.v1.task_pb2 import TaskState, TaskStatus
from shoal.docker_units import docker_age
from shoal.task_states import is_live, observed_state

ACTIVE = frozenset({"running", "paused", "restarting"})
"""States that a listing shows without `--all`."""

_HEALTH = {
    TaskStatus.STARTING: " (health: starting)",
    TaskStatus.HEALTHY: " (healthy)",
    TaskStatus.UNHEALTHY: " (unhealthy)",
}


def state_text(each: ContainerView) -> str:
    """Docker's word for its state: created, running, paused, restarting, exited, removing or dead."""
    container, task = each.container, each.task
    if container.removing:
        return "dead" if each.node_down_since_ms else "removing"
    if not each.HasField("task"):
        return "dead" if each.node_id else "created"
    status = each.task_status if each.HasField("task_status") else None
    if observed_state(task, status) == TaskState.RUNNING:
        return "paused" if each.task_status.paused else "running"
    has_run = task.desired_state != TaskState.READY
    if is_live(task, status):
        return "restarting" if task.attempt else "created"
    if has_run and _is_desired(each) and task.job_run == container.run:
        return "restarting"
    return "exited" if has_run else "created"


def status_text(each: ContainerView, now_ms: int) -> str:
    """ "Up 3 minutes (healthy)", "Exited (0) 2 hours ago"; of a node that is away with the node's name.

    Args:
        now_ms: milliseconds since the Unix epoch.
    """
    if not each.node_down_since_ms:
        return _own_text(each, now_ms, with_health=True)
    where = f"node {each.node_hostname or each.node_id} is down"
    return f"{_own_text(each, now_ms, with_health=False)} ({where})"


def _own_text(each: ContainerView, now_ms: int, *, with_health: bool) -> str:
    state, status = state_text(each), each.task_status
    if state == "running":
        return f"Up {_age(now_ms, status.running_at_ms)}{_HEALTH.get(status.health, '') if with_health else ''}"
    if state == "paused":
        return f"Up {_age(now_ms, status.running_at_ms)} (Paused)"
    if state == "restarting":
        return f"Restarting ({status.exit_code}) {_age(now_ms, status.at_ms)} ago" if status.at_ms else "Restarting"
    if state == "exited":
        return f"Exited ({status.exit_code}) {_age(now_ms, status.at_ms)} ago" if status.at_ms else "Exited"
    return {"removing": "Removal In Progress", "dead": "Dead"}.get(state, "Created")


def _age(now_ms: int, at_ms: int) -> str:
    return docker_age((now_ms - at_ms) // 1000)


def _is_desired(each: ContainerView) -> bool:
    container = each.container
    return container.desired == Container.RUNNING and each.status.finished_run != container.run
