"""Texts of problems and reasons that others tell apart: written by the planner's stages, recognized by the API. Pure.

`ServiceStatus.problems` and `Task.reason` are lines for users. Who has to know what one of them is about asks here, so
that a better wording changes both ends at once.
"""

WAITING_FOR = "waiting for "
"""Before a service, task or condition."""
WAITING_SINCE = "waiting since "
"""Before a time, and what is waited for."""
NO_SUITABLE_NODE = "no suitable node"
"""Alone, or before a colon and the numbers of nodes by reason."""

_STAYS = " stays on node "
_DRAINED = "is drained"


def waiting_for_volume(since: str, volume: str, hostname: str, state: str) -> str:
    """A task waits for the home node of its volume.

    Args:
        since: a time, as text.
        state: of the node: "is down", "lacks 512 MiB of memory".
    """
    return f"{WAITING_SINCE}{since} for volume {volume} on node {hostname}, which {state}"


def is_wait(problem: str) -> bool:
    """Whether the service waits for a dependency, a volume or a node."""
    return problem.startswith((WAITING_FOR, WAITING_SINCE))


def is_wait_for_volume(reason: str) -> bool:
    """Whether a task waits for the home node of its volume."""
    return reason.startswith(WAITING_SINCE) and " for volume " in reason


def stays_on_node(slot: int, hostname: str, why: str, *, what: str = _DRAINED) -> str:
    """A task has to leave its node, and cannot yet.

    Args:
        what: why it has to leave, said of the node: "is drained".
        why: what it waits for.
    """
    return f"task {slot}{_STAYS}{hostname}, which {what}: {why}"


def is_stay(problem: str) -> bool:
    """Whether a task cannot leave its node."""
    return _STAYS in problem


def drain_obstacle(problem: str, hostname: str, slot: int | None = None) -> str:
    """What a task on a drained node waits for; empty if the problem is another one.

    Args:
        slot: of the task; None for that of any.
    """
    task, found, why = problem.partition(f"{_STAYS}{hostname}, which {_DRAINED}: ")
    return why if found and slot in (None, _slot_of(task)) else ""


def _slot_of(task: str) -> int:
    number = task.removeprefix("task ")
    return int(number) if number.isdecimal() else 0


def is_without_node(problem: str) -> bool:
    """Whether no node is suitable or has room."""
    return problem.startswith(NO_SUITABLE_NODE)
