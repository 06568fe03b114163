"""Whether a service's tasks comply with its current placement. Pure."""

from collections import Counter

from manager.store.tables import View
from manager.validation.eligible_nodes import rules_of
from shoal.api.v1.service_pb2 import Service
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
    rules = rules_of(service.spec.task.placement)
    return node is None or status is None or rules is None or rules.allow(node, status)
