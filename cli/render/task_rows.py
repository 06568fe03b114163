"""Rows of task listings, as `service ps`, `stack ps`, `node ps` and `task ls` show them."""

from collections.abc import Iterable
from datetime import UTC, datetime

from shoal.api.v1.control_pb2 import TaskView
from shoal.api.v1.task_pb2 import TaskState, TaskStatus
from shoal.task_states import observed_state, shown_desired_state, task_name
from shoal.unit_formats import age

COLUMNS = ("id", "name", "image", "node", "desired", "current", "reason", "ports")


def state_name(state: int) -> str:
    """ "running"."""
    return TaskState.Name(TaskState.ValueType(state)).lower()


def rows(
    views: Iterable[TaskView], now_ms: int, *, no_trunc: bool = False, no_resolve: bool = False
) -> list[dict[str, object]]:
    """One row a task; by service and slot, the newest first within a slot.

    Args:
        no_trunc: names with the tasks' ids, images with their digests; no_resolve: ids in place of names.
    """
    ordered = sorted(views, key=lambda view: (view.service_name, view.task.slot, -view.task.created_at_ms))
    made = [_row(view, now_ms) for view in ordered]
    for row, view in zip(made, ordered, strict=True):
        name = task_name(view.task.service_id if no_resolve else view.service_name, view.task)
        row["name"] = name if no_trunc else name.removesuffix(f".{view.task.id}")
        row["node"] = view.task.node_id if no_resolve else view.node_hostname
        row["image"] = view.image if no_trunc else short_image(view.image)
    return made


def _row(view: TaskView, now_ms: int) -> dict[str, object]:
    task, status = view.task, view.status
    state = observed_state(task, status)
    since = _since(view, state)
    return {
        "id": task.id,
        "name": task_name(view.service_name, task).removesuffix(f".{task.id}"),
        "image": short_image(view.image),
        "node": view.node_hostname,
        "desired": state_name(shown_desired_state(task, state)),
        "current": f"{state_name(state)}{_health(status)} {age(now_ms - since)} ago",
        "health": TaskStatus.Health.Name(status.health).lower(),
        "state": state_name(state),
        "since": timestamp(since),
        "reason": "; ".join(filter(None, (_reason(view, state), restart_text(view, now_ms)))),
        "restart_at": timestamp(view.restart_at_ms) or None,
        "run": task.job_run or None,
        "node_restarts": status.restarts.count or None,
        "exit_code": status.exit_code if status.HasField("exit_code") else None,
        "addresses": [text for place in task.addresses for text in (place.address, place.address6) if text],
        "ports": ",".join(f"{port.published}->{port.target}" for port in task.ports),
    }


def _reason(view: TaskView, state: int) -> str:
    if state == TaskState.RUNNING:
        in_doubt = view.status.health in (TaskStatus.STARTING, TaskStatus.UNHEALTHY)
        stays = f"not moved from its drained node yet: {view.drain_wait}" if view.drain_wait else ""
        return view.status.health_output if in_doubt else view.status.warning or stays or node_restarts(view.status)
    if state == TaskState.COMPLETE:
        return view.status.message
    return view.status.message or view.task.reason


def node_restarts(status: TaskStatus) -> str:
    """ "restarted by its node 2 times without a manager: exit code 1"; empty where it never was."""
    restarts = status.restarts
    if not restarts.count:
        return ""
    times = f" {restarts.count} times" if restarts.count > 1 else ""
    why = restarts.message or (f"exit code {restarts.exit_code}" if restarts.HasField("exit_code") else "")
    return f"restarted by its node{times} without a manager" + (f": {why}" if why else "")


def restart_text(view: TaskView, now_ms: int) -> str:
    """ "restarts in 12 seconds", of a task that has ended and will have a successor."""
    if not view.restart_at_ms:
        return ""
    return f"restarts in {age(view.restart_at_ms - now_ms)}" if view.restart_at_ms > now_ms else "restarts now"


def _since(view: TaskView, state: int) -> int:
    """When it came to its state: later changes of its health do not count."""
    status = view.status
    running_at_ms = status.running_at_ms if state == TaskState.RUNNING else 0
    return running_at_ms or status.at_ms or view.task.created_at_ms


def _health(status: TaskStatus) -> str:
    """ " (healthy)" of a running task with a health check, " (not listening)" before its published ports are open."""
    if status.state == TaskState.RUNNING and status.not_listening:
        return " (not listening)"
    checked = status.state == TaskState.RUNNING and status.health != TaskStatus.NONE
    return f" ({TaskStatus.Health.Name(status.health).lower()})" if checked else ""


def short_image(image: str) -> str:
    """Without the digest, for people; a reference that has only a digest keeps 12 characters of it."""
    name, _, digest = image.partition("@")
    return name if not digest or ":" in name.rpartition("/")[2] else f"{name}@{digest.removeprefix('sha256:')[:12]}"


def timestamp(milliseconds: int) -> str:
    """RFC 3339 in UTC, to the millisecond; empty for 0."""
    if not milliseconds:
        return ""
    return datetime.fromtimestamp(milliseconds / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
