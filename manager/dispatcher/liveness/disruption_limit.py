"""Limits how many nodes are marked down at once. Pure.

Many nodes that fall silent together are seldom many broken hosts. A network or a manager is broken then, and moving
all their tasks would do more harm: their containers still run, and the rest of the cluster may lack the resources.
Kubernetes stops evicting in a zone when too many of its nodes are not ready (`--unhealthy-zone-threshold`), for the
same reason.
"""

MIN_NODES = 3
SHARE = 0.05


def max_down_at_once(nodes: int) -> int:
    """How many of so many nodes may be silent together and still be marked down: 3, or 5 % if that is more."""
    return max(MIN_NODES, int(nodes * SHARE))


def unknown_reason(silent: int, nodes: int, hostname: str) -> str:
    """Why a node is UNKNOWN and not DOWN: one line, with what to do about it."""
    return (
        f"no heartbeat; {silent} of {nodes} nodes are silent at the same "
        "time, so its tasks are not moved: check the network between nodes "
        f"and managers; if this node is lost, run `shoal node down {hostname}`"
    )
