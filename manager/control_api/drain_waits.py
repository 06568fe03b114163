"""What a drain waits for: tasks that stay on their node for now, with the reasons that the planner tells. Pure."""

from collections.abc import Iterator
from datetime import UTC, datetime

from manager.control_api.lookup import hostname_of
from manager.store.tables import View
from shoal.api.v1.node_pb2 import Node, NodeSpec
from shoal.api.v1.task_pb2 import Task
from shoal.task_states import is_live, is_wanted

_SHOWN = 3
"""Tasks of a node that are named."""


def why_it_stays(view: View, task: Task) -> str:
    """Why a task is not moved from its drained node yet; empty when it is on its way, or is not to leave."""
    node, status = view.nodes.get(task.node_id), view.service_status.get(task.service_id)
    if node is None or status is None or node.spec.availability != NodeSpec.DRAIN:
        return ""
    if not is_wanted(task) or not is_live(task, view.task_status.get(task.id)):
        return ""
    name = hostname_of(view, task.node_id)
    own = f"task {task.slot} stays on node {name}, which is drained: "
    told = next((problem for problem in status.problems if problem.startswith(own)), "")
    # Those for which it is not this one's turn wait for the same, as far as is known.
    others = (problem for problem in status.problems if f" stays on node {name}, which is drained: " in problem)
    roomless = (problem for problem in status.problems if problem.startswith("no "))
    found = told or next(others, "") or next(roomless, "")
    return found.partition(", which is drained: ")[2] or found


def waiting_drain(view: View, node: Node) -> Iterator[str]:
    """One line for the user when the node's drain waits for something."""
    if node.spec.availability != NodeSpec.DRAIN:
        return
    reasons = {}
    for task in view.tasks_on(node.meta.id).values():
        service = view.services.get(task.service_id)
        if service is not None and (why := why_it_stays(view, task)):
            reasons[f"{service.spec.name}.{task.slot}"] = why
    if not reasons:
        return
    named = [f"{name} ({reasons[name]})" for name in sorted(reasons)[:_SHOWN]]
    more = [f"{len(reasons) - _SHOWN} more"] if len(reasons) > _SHOWN else []
    yield f"the drain waits for {', '.join([*named, *more])}; {_end(node)}"


def _end(node: Node) -> str:
    if not node.spec.drain_by_ms:
        return "`--drain-deadline` sets a time after which they are stopped"
    moment = datetime.fromtimestamp(node.spec.drain_by_ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return f"what is left is stopped at {moment}"
