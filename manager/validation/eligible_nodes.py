"""Which nodes a service's placement allows. Pure."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from manager.planner.spec import constraints
from manager.planner.spec.constraints import Constraint
from manager.planner.spec.requirements import supports_platform
from manager.store.tables import View
from shoal.api.v1.node_pb2 import Node, NodeSpec, NodeStatus
from shoal.api.v1.service_pb2 import Placement, ServiceSpec
from shoal.errors import InvalidInput

_SCHEDULABLE = frozenset({NodeSpec.AVAILABILITY_UNSPECIFIED, NodeSpec.ACTIVE})


class PlacementRules(NamedTuple):
    """What a placement requires of each node by itself.

    Attributes:
        platforms: operating systems and architectures of the image; empty if unknown.
    """

    constraints: Sequence[Constraint]
    platforms: Sequence[tuple[str, str]]

    def allow(self, node: Node, status: NodeStatus) -> bool:
        """Whether the node meets the constraints, and its platform has the image."""
        has_image = not self.platforms or supports_platform(self.platforms, status.description.platform)
        return has_image and all(rule.matches(node, status) for rule in self.constraints)


def rules_of(placement: Placement) -> PlacementRules | None:
    """The rules; None if a constraint is invalid: reported elsewhere, or written by another version of Shoal."""
    try:
        parsed = [constraints.parse(text) for text in placement.constraints]
    except InvalidInput:
        return None
    return PlacementRules(parsed, [(each.os, each.architecture) for each in placement.platforms])


def eligible_nodes(view: View, spec: ServiceSpec) -> Iterator[NodeStatus]:
    """Nodes that accept new tasks and meet the constraints of a submitted spec; none if one of these is invalid.

    Platforms do not count: they are known once the image is resolved, which comes last in a submission.
    """
    rules = rules_of(Placement(constraints=spec.task.placement.constraints))
    for node_id, node in view.nodes.items() if rules is not None else ():
        status = view.node_status.get(node_id)
        if status is None or status.state != NodeStatus.READY or node.spec.availability not in _SCHEDULABLE:
            continue
        if rules is not None and rules.allow(node, status):
            yield status
