"""Invariant 4: no node that a majority of managers reaches is given up, and none of its tasks is replaced. Pure."""

from collections.abc import Iterator, Sequence

from shoal.api.v1.node_pb2 import Node, NodeStatus
from shoal.api.v1.task_pb2 import Task, TaskState
from tests.chaos.checks.key_history import ROOT, TASKS, KeyEvent
from tests.chaos.fault_kinds import AGENTS
from tests.chaos.violation import ActiveFault, Violation

SIMULATED = "simulated"
"""How ids and hostnames of simulated agents' nodes begin."""
GRACE_SECONDS = 12.0
"""So long after a fault its consequences may show: a node is lost 6 s after its last sign, later on a busy machine.
Faults that keep managers from writing put that off by as long as they last."""


def check_replacements(events: Sequence[KeyEvent], faults: Sequence[ActiveFault]) -> Iterator[Violation]:
    """Nodes that were DOWN, and tasks that were stopped since "node … is down", without a fault that excuses it.

    Args:
        events: since the cluster's beginning, by revision.
    """
    names: dict[str, str] = {}
    states: dict[str, int] = {}
    desired: dict[str, Task] = {}
    for event in events:
        if event.value is None:
            desired.pop(event.key, None)
        elif event.key.startswith(f"{ROOT}nodes/") and event.key.endswith("/spec"):
            node = Node.FromString(event.value)
            names[node.meta.id] = node.spec.identity.hostname or names.get(node.meta.id, "")
        elif event.key.startswith(f"{ROOT}nodes/"):
            yield from _check_node(event, names, states, faults)
        elif event.key.startswith(TASKS):
            task, old = Task.FromString(event.value), desired.get(event.key)
            desired[event.key] = task
            is_stopped = old is not None and old.desired_state <= TaskState.RUNNING < task.desired_state
            if (
                is_stopped
                and _gives_up(task.reason)
                and not _excused(names.get(task.node_id) or task.node_id, event.at, faults)
            ):
                where = names.get(task.node_id) or task.node_id
                what = f"task {task.id} on {where} was replaced ({task.reason}), and the node was reachable"
                yield Violation(4, what, event.at)


def _check_node(
    event: KeyEvent, names: dict[str, str], states: dict[str, int], faults: Sequence[ActiveFault]
) -> Iterator[Violation]:
    status = NodeStatus.FromString(event.value or b"")
    name, old = names.get(status.node_id) or status.node_id, states.get(status.node_id)
    states[status.node_id] = status.state
    if status.state == NodeStatus.DOWN and old == NodeStatus.READY and not _excused(name, event.at, faults):
        yield Violation(4, f"node {name} is DOWN ({status.message}), and was reachable", event.at)


def _gives_up(reason: str) -> bool:
    return reason.startswith("node ") and " down" in reason


def _excused(host: str, at: float, faults: Sequence[ActiveFault]) -> bool:
    if host not in AGENTS and not host.startswith(SIMULATED):
        return True  # a hostile agent's
    return any(each.begun <= at <= _last_consequence(each, faults) and host in each.unreachable for each in faults)


def _last_consequence(fault: ActiveFault, faults: Sequence[ActiveFault]) -> float:
    """Seconds since the Unix epoch."""
    last = fault.ended + GRACE_SECONDS
    for each in sorted(faults, key=lambda each: each.begun):
        if each.hurts_control and fault.ended <= each.begun <= last:
            last += each.ended - each.begun
    return last
