"""The home node: whose files bind mounts without a node mean, and whose facts `info` and `version` have."""

import socket
from collections.abc import Callable, Iterable
from contextlib import suppress

from shoal.api.v1.control_pb2 import ListNodesRequest, ListNodesResponse, NodeView
from shoal.manager_calls.managers import Managers

NONE = "none"


class HomeNode:
    """Finds the home node among the cluster's nodes, each time anew: nodes come and go.

    Args:
        name: hostname or id; `NONE` for none; empty: the node with an address of this host.
    """

    def __init__(self, managers: Managers, name: str) -> None:
        self._managers = managers
        self._name = name

    async def find(self) -> NodeView | None:
        """The home node; None where there is none.

        Raises:
            ShoalError: no manager responds.
        """
        if self._name == NONE:
            return None
        listed: ListNodesResponse = await self._managers.call(self._managers.control.ListNodes, ListNodesRequest())
        return home_node(listed.nodes, self._name)


def home_node(nodes: Iterable[NodeView], name: str, is_local: Callable[[str], bool] | None = None) -> NodeView | None:
    """The node that is named, else the one with an address of this host; None where there is none.

    Args:
        is_local: whether an address is one of this host's.
    """
    local = is_local_address if is_local is None else is_local
    for node in nodes:
        identity, reported = node.node.spec.identity, node.status.description
        if name:
            if name in (identity.hostname, reported.hostname, node.node.meta.id):
                return node
        elif name != NONE and (address := identity.address or reported.address) and local(address):
            return node
    return None


def is_local_address(address: str) -> bool:
    """Whether a socket of this host can have it: it is one of this host's addresses."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as probe:
        probe.bind((address, 0))
        return True
    return False
