"""Filters of nodes (`docker node ls`)."""

from shoal.api.v1.control_pb2 import NodeView
from shoal.api.v1.node_pb2 import NodeSpec
from shoal.filters.filter_set import FilterSet, exact_filter, label_filter, prefix_filter
from shoal.node_states import NODE_STATES, node_state


def role_of(view: NodeView) -> str:
    """ "manager" where a manager runs on the same host, else "worker"."""
    return "manager" if view.status.colocated_manager_id else "worker"


def availability_of(view: NodeView) -> str:
    """ "active", "pause" or "drain"."""
    return NodeSpec.Availability.Name(view.node.spec.availability or NodeSpec.ACTIVE).lower()


def status_of(view: NodeView) -> str:
    """One of `NODE_STATES`."""
    return node_state(view.status)


def hostname_of(view: NodeView) -> str:
    """What it is called."""
    return view.node.spec.identity.hostname or view.status.description.hostname


NODES: FilterSet[NodeView] = FilterSet(
    {
        "availability": exact_filter(availability_of, ("active", "pause", "drain")),
        "id": prefix_filter(lambda view: view.node.meta.id),
        # As with Docker, `label` is of what the host says of itself, `node.label` of what the operator does.
        "label": label_filter(lambda view: view.status.description.engine_labels),
        "membership": exact_filter(lambda _: "accepted", ("accepted", "pending")),
        "name": prefix_filter(hostname_of),
        "node.label": label_filter(lambda view: view.node.spec.labels),
        "role": exact_filter(role_of, ("manager", "worker")),
        "status": exact_filter(status_of, NODE_STATES),
    }
)
