"""What is odd about a node though it works: compared with the others, and with the cluster's networks. Pure."""

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator
from ipaddress import IPv4Network

from manager.store.tables import View
from shoal.api.v1.node_pb2 import NodeDescription


class NodeWarnings:
    """Made once for a listing: what nodes are compared with is the same for all."""

    def __init__(self, view: View) -> None:
        self._view = view
        self._mtus = Counter(
            status.description.underlay_mtu
            for node_id, status in view.node_status.items()
            if node_id in view.nodes and status.description.underlay_mtu
        )
        subnets = ((IPv4Network(allocation.subnet), network_id) for network_id, allocation in view.allocations.items())
        # Allocations are disjoint, so in the order of their beginnings they are in that of their ends.
        self._subnets = sorted(subnets)
        self._ends = [int(subnet.broadcast_address) for subnet, _ in self._subnets]

    def of(self, node_id: str) -> Iterator[str]:
        """One line each, for the user."""
        status = self._view.node_status.get(node_id)
        if status is not None:
            yield from status.network.problems
            yield from self.mtu(status.description)
            for text in status.description.host_prefixes:
                yield from self._overlaps(text)

    def mtu(self, about: NodeDescription) -> Iterator[str]:
        """A line when it differs from what most nodes have."""
        if not about.underlay_mtu or len(self._mtus) < 2:
            return
        usual, holders = max(self._mtus.items(), key=lambda item: (item[1], item[0]))
        if about.underlay_mtu != usual:
            number = self._mtus.total()
            others = "the other has" if number == 2 else f"{holders} of {number} nodes have"
            yield f"MTU {about.underlay_mtu} on the interface of {about.address}; {others} {usual}"

    def _overlaps(self, text: str) -> Iterator[str]:
        try:
            prefix = IPv4Network(text)
        except ValueError:  # an agent's word, or IPv6
            return
        for subnet, network_id in self._subnets[bisect_left(self._ends, int(prefix.network_address)) :]:
            if subnet.network_address > prefix.broadcast_address:
                return
            network = self._view.networks.get(network_id)
            name = network.spec.name if network is not None else network_id
            yield f"its route to {prefix} overlaps network {name} ({subnet}), whose tasks cannot go there"
