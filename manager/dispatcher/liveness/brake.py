"""How many nodes may be given up at once. Pure.

Many nodes that fall silent together are seldom many broken hosts. A network or a manager is broken then, and moving
all their tasks would double the harm: their containers run on, and the rest of the cluster may not hold them all.
Kubernetes stops evicting in a zone when too many of its nodes are not ready (`--unhealthy-zone-threshold`), for the
same reason.
"""

LEAST_NODES = 3
SHARE = 0.05


def most_at_once(nodes: int) -> int:
    """How many of so many nodes may be silent together and still be given up: 3, or 5 % where that is more."""
    return max(LEAST_NODES, int(nodes * SHARE))


def why_unknown(silent: int, nodes: int, hostname: str) -> str:
    """The text for a node that is kept by the brake: one line, with what to do about it."""
    return (
        f"no heartbeat, as of {silent} of {nodes} nodes at the same time, so its tasks stay where they are: check the "
        f"network between nodes and managers; if the node is lost, run `shoal node down {hostname}`"
    )
