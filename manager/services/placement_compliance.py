"""Whether a service's tasks comply with its current placement. Pure."""

from collections import Counter

from manager.planner.spec import constraints
from manager.planner.spec.requirements import supports_platform
from manager.store.tables import View
from shoal.api.v1.service_pb2 import Service
from shoal.errors import InvalidInput
from shoal.task_states import is_live, should_run


def misplaced(view: View, service: Service) -> int:
    """How many desired tasks have to move: their nodes do not meet the constraints, or have too many of them.

    Args:
        service: with the spec in force. Tasks of a global one are where the placement requires by definition.
    """
    placement = service.spec.task.placement
    is_restricted = placement.constraints or placement.platforms or placement.max_per_node
    if not is_restricted or service.spec.WhichOneof("mode") != "replicated":
        return 0
    counts = Counter(
        task.node_id
        for task in view.tasks_of(service.meta.id).values()
        if task.node_id and should_run(task) and is_live(task, view.task_status.get(task.id))
    )
    most = placement.max_per_node or max(counts.values(), default=0)
    return sum(
        number if not is_eligible(view, service, node_id) else max(0, number - most)
        for node_id, number in counts.items()
    )


def is_eligible(view: View, service: Service, node_id: str) -> bool:
    """Whether the node meets the constraints and its platform has the image; true for a node that is not known yet."""
    node, status = view.nodes.get(node_id), view.node_status.get(node_id)
    if node is None or status is None:
        return True
    placement = service.spec.task.placement
    try:
        rules = [constraints.parse(text) for text in placement.constraints]
    except InvalidInput:  # written by another version of Shoal: the planner reports it
        return True
    platforms = [(each.os, each.architecture) for each in placement.platforms]
    fits = not platforms or supports_platform(platforms, status.description.platform)
    return fits and all(rule.matches(node, status) for rule in rules)
