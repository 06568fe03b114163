"""Why a drain does not finish: tasks that stay on their node for now, with the planner's reasons. Pure."""

from collections.abc import Iterator
from datetime import UTC, datetime

from manager.planner.spec.problem_texts import drain_obstacle, is_without_node
from manager.records.object_lookup import hostname_of
from manager.store.tables import View
from manager.validation.text_rules import join_names
from shoal.api.v1.node_pb2 import Node, NodeSpec
from shoal.api.v1.task_pb2 import Task
from shoal.task_states import is_live, should_run

_SHOWN = 3
"""Tasks that are named, per node."""


def drain_wait_reason(view: View, task: Task) -> str:
    """Why a task has not been moved off its drained node yet; empty when it is being moved, or need not be."""
    node, status = view.nodes.get(task.node_id), view.service_status.get(task.service_id)
    if node is None or status is None or node.spec.availability != NodeSpec.DRAIN:
        return ""
    if not should_run(task) or not is_live(task, view.task_status.get(task.id)):
        return ""
    name = hostname_of(view, task.node_id)
    # A task whose turn has not come waits for the same as others, as far as is known.
    for slot in (task.slot, None):
        if why := next(filter(None, (drain_obstacle(problem, name, slot) for problem in status.problems)), ""):
            return why
    return next(filter(is_without_node, status.problems), "")


def drain_warning(view: View, node: Node) -> Iterator[str]:
    """Warnings: the drain of the node is waiting, and containers that no drain moves."""
    if node.spec.availability != NodeSpec.DRAIN:
        return
    yield from _staying_containers(view, node)
    reasons = {}
    for task in view.tasks_on(node.meta.id).values():
        service = view.services.get(task.service_id)
        if service is not None and (why := drain_wait_reason(view, task)):
            reasons[f"{service.spec.name}.{task.slot}"] = why
    if not reasons:
        return
    named = [f"{name} ({reasons[name]})" for name in sorted(reasons)[:_SHOWN]]
    more = [f"{len(reasons) - _SHOWN} more"] if len(reasons) > _SHOWN else []
    yield f"drain is waiting for {', '.join([*named, *more])}; {_deadline_text(node)}"


def _staying_containers(view: View, node: Node) -> Iterator[str]:
    staying = [
        container.name
        for identifier, container in view.containers.items()
        if (status := view.service_status.get(identifier)) is not None and status.node_id == node.meta.id
    ]
    if staying:
        what = "1 container stays" if len(staying) == 1 else f"{len(staying)} containers stay"
        yield f"{what} on the drained node: {join_names(sorted(staying))}"


def _deadline_text(node: Node) -> str:
    if not node.spec.drain_deadline_ms:
        return "to stop them after a given time, set `--drain-deadline`"
    moment = datetime.fromtimestamp(node.spec.drain_deadline_ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return f"remaining tasks are stopped at {moment}"
