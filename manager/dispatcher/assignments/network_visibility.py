"""What one node may see of its networks: their endpoints and peers. Computed once for each message. Pure."""

from collections.abc import Callable, Collection, Iterable, Mapping
from itertools import chain

from manager.dispatcher.assignments.node_peers import without_keys
from manager.dispatcher.assignments.task_entries import TaskEntry, narrowed
from shoal.api.v1.dispatcher_pb2 import NetworkAssignment, Peer, TaskEndpoint


class NetworkVisibility:
    """On a node-local network a node sees only its own tasks, on any other all.

    Args:
        networks: the networks that the node is on, by id.
        nodes: ids of the nodes on a network.
    """

    def __init__(
        self, node_id: str, networks: Mapping[str, NetworkAssignment], nodes: Callable[[str], Collection[str]]
    ) -> None:
        self.node_id = node_id
        self.networks = networks
        self._cluster_wide = frozenset(name for name, network in networks.items() if not network.node_local)
        self._nodes = [nodes(name) for name in self._cluster_wide]
        self._encrypted = [nodes(name) for name in self._cluster_wide if networks[name].key_generation]

    def endpoint(self, entry: TaskEntry) -> TaskEndpoint | None:
        """The endpoint of a task as the node sees it; None if it does not, or if the task has none."""
        if entry.endpoint is None or entry.networks <= self._cluster_wide:  # nearly all
            return entry.endpoint
        visible = self.networks.keys() if entry.task.node_id == self.node_id else self._cluster_wide
        return narrowed(entry.endpoint, visible.__contains__)

    def visible_nodes(self) -> Iterable[str]:
        """Ids of all nodes that are on one of the networks, each once; the node itself is among them."""
        return dict.fromkeys(chain.from_iterable(self._nodes))

    def peer(self, peer: Peer) -> Peer | None:
        """Another node, None if they share no network. On the mesh, clients arrive at any node.

        Keys are included for nodes that share an encrypted network.
        """
        other = peer.node_id
        if other == self.node_id or not any(other in nodes for nodes in self._nodes):
            return None
        return peer if any(other in nodes for nodes in self._encrypted) else without_keys(peer)
