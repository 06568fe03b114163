"""Docker's words for the state of a container, and the text of a listing's column STATUS. Pure."""

from typing import NamedTuple

from shoal.api.v1.engine_pb2 import ContainerView
from shoal.api.v1.standalone_pb2 import Container, ContainerRestart
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


class StatusText(NamedTuple):
    """The text of a listing's column STATUS, without its age.

    Attributes:
        since_ms: what the age is counted from, milliseconds since the Unix epoch; 0: there is none.
    """

    before: str
    since_ms: int = 0
    after: str = ""

    def at(self, now_ms: int) -> str:
        """The text at a time, milliseconds since the Unix epoch."""
        age = docker_age((now_ms - self.since_ms) // 1000) if self.since_ms else ""
        return f"{self.before}{age}{self.after}"


def status_text(each: ContainerView, now_ms: int) -> str:
    """ "Up 3 minutes (healthy)", "Exited (0) 2 hours ago"; of a node that is away with the node's name.

    Args:
        now_ms: milliseconds since the Unix epoch.
    """
    return status_parts(each).at(now_ms)


def status_parts(each: ContainerView) -> StatusText:
    """As `status_text`, apart from the age."""
    if not each.node_down_since_ms:
        return _own_text(each, with_health=True)
    text = _own_text(each, with_health=False)
    return text._replace(after=f"{text.after} (node {each.node_hostname or each.node_id} is down)")


def _own_text(each: ContainerView, *, with_health: bool) -> StatusText:
    state, status = state_text(each), each.task_status
    if state == "running":
        return StatusText("Up ", status.running_at_ms, _HEALTH.get(status.health, "") if with_health else "")
    if state == "paused":
        return StatusText("Up ", status.running_at_ms, " (Paused)")
    if state in ("restarting", "exited"):
        word = state.capitalize()
        return StatusText(f"{word} ({status.exit_code}) ", status.at_ms, " ago") if status.at_ms else StatusText(word)
    return StatusText({"removing": "Removal In Progress", "dead": "Dead"}.get(state, "Created"))


def _is_desired(each: ContainerView) -> bool:
    """Whether its restart policy is going to start it again, as far as the planner has not said that it does not."""
    container = each.container
    has_policy = container.definition.restart.condition > ContainerRestart.NO
    return has_policy and container.desired == Container.RUNNING and each.status.finished_run != container.run
