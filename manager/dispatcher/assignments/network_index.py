"""Index of the tasks and nodes on each network, kept in sync with the store.

Every node that has an address is on the routing mesh's network, with or without tasks.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping

from manager.dispatcher.assignments.network_visibility import NetworkVisibility
from manager.dispatcher.assignments.task_entries import TaskEntry
from manager.store.tables import View
from shoal.api.v1.dispatcher_pb2 import NetworkAssignment, Peer
from shoal.networks.overlay_encryption import is_encrypted, key_generation
from shoal.networks.published_ports import MESH_NETWORK

Membership = tuple[str, str]
"""A node on a network, by their ids."""


class NetworkIndex:
    """Args:
    peers: the nodes that have an address, by id; live."""

    def __init__(self, view: View, peers: Mapping[str, Peer]) -> None:
        self._view = view
        self._peers = peers
        self._assignments: dict[str, NetworkAssignment] = {}
        self._tasks: defaultdict[str, set[str]] = defaultdict(set)
        self._nodes: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self._networks: defaultdict[str, set[str]] = defaultdict(set)
        for network_id in view.networks:
            self.refresh(network_id)

    def refresh(self, network_id: str) -> tuple[NetworkAssignment | None, NetworkAssignment | None]:
        """Read the network from the view; returns its assignment before and now."""
        old, new = self._assignments.pop(network_id, None), self._assignment(network_id)
        if new is not None:
            self._assignments[network_id] = new
        return old, new

    def add_task(self, entry: TaskEntry) -> set[Membership]:
        """Add a task to its networks; returns the memberships that are new."""
        node_id, task_id = entry.task.node_id, entry.task.id
        for network_id in entry.networks:
            self._tasks[network_id].add(task_id)
            self._nodes[network_id][node_id] += 1
            self._networks[node_id].add(network_id)
        return {(node_id, network_id) for network_id in entry.networks if self._nodes[network_id][node_id] == 1}

    def remove_task(self, entry: TaskEntry) -> set[Membership]:
        """Remove a task from its networks; returns the memberships that ended."""
        node_id, task_id = entry.task.node_id, entry.task.id
        ended = set()
        for network_id in entry.networks:
            self._tasks[network_id].discard(task_id)
            self._nodes[network_id][node_id] -= 1
            if not self._nodes[network_id][node_id]:
                del self._nodes[network_id][node_id]
                self._networks[node_id].discard(network_id)
                ended.add((node_id, network_id))
        return ended

    def tasks(self, network_id: str) -> Collection[str]:
        """Ids of the tasks that can be reached on the network."""
        return self._tasks.get(network_id, ())

    def nodes(self, network_id: str) -> Collection[str]:
        """Ids of the nodes that are on the network."""
        return self._peers.keys() if network_id == MESH_NETWORK else self._nodes.get(network_id, {}).keys()

    def informed_nodes(self, network_id: str) -> Collection[str]:
        """Ids of the nodes that see each other on the network: none while it is not assigned."""
        return self.nodes(network_id) if self.is_assigned(network_id) else ()

    def is_assigned(self, network_id: str) -> bool:
        """Whether the network is sent to nodes."""
        return network_id in self._assignments

    def networks(self, node_id: str) -> Iterator[str]:
        """Ids of the networks that the node sees."""
        return (name for name in self._joined(node_id) if name in self._assignments)

    def visibility(self, node_id: str) -> NetworkVisibility:
        """What the node sees of its networks now."""
        return NetworkVisibility(
            node_id, {name: self._assignments[name] for name in self.networks(node_id)}, self.nodes
        )

    def encrypted(self) -> list[str]:
        """Ids of the encrypted networks."""
        return [name for name, network in self._assignments.items() if network.key_generation]

    def _joined(self, node_id: str) -> set[str]:
        joined = self._networks.get(node_id, set()) - {MESH_NETWORK}
        return joined | {MESH_NETWORK} if node_id in self._peers else joined

    def _assignment(self, network_id: str) -> NetworkAssignment | None:
        network, allocation = self._view.networks.get(network_id), self._view.allocations.get(network_id)
        if network is None or allocation is None:
            return None
        return NetworkAssignment(
            network_id=network_id,
            name=network.spec.name,
            subnet=allocation.subnet,
            internal=network.spec.internal,
            supernet=allocation.supernet,
            subnet6=allocation.subnet6,
            node_local=network.spec.driver == "bridge",
            mesh=network_id == MESH_NETWORK,
            key_generation=key_generation(self._view.overlay_keys) if is_encrypted(network.spec) else 0,
        )
