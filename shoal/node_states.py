"""States of nodes as words, as every program shows them."""

from shoal.api.v1.node_pb2 import NodeStatus

NODE_STATES = ("ready", "down", "unknown", "restarting")


def node_state(status: NodeStatus | None) -> str:
    """One of `NODE_STATES`; "unknown" also without a status."""
    if is_restarting(status):
        return "restarting"
    if status is None or status.state == NodeStatus.STATE_UNSPECIFIED:
        return "unknown"
    return NodeStatus.State.Name(status.state).lower()


def is_restarting(status: NodeStatus | None) -> bool:
    """Whether the node's agent has stopped in order and is expected back.

    Such a node is UNKNOWN in its record, which releases that do not know of restarting nodes understand.
    """
    return status is not None and status.state == NodeStatus.UNKNOWN and status.restart_deadline_ms > 0
