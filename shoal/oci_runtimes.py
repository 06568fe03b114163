"""OCI runtimes of nodes."""

from collections.abc import Sequence

from shoal.api.v1.node_pb2 import NodeDescription

RUNTIMES = ("crun", "runc")
"""Those that agents can use, the preferred first."""


def runtimes_of(node: NodeDescription) -> Sequence[str]:
    """Names of those that containers can request of a node; of an old agent the one that it has reported."""
    return node.runtimes or [name for name in (node.runtime.partition(" ")[0],) if name]
