"""What is odd about a node though it works: compared with the others, and with the cluster's networks. Pure."""

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator
from ipaddress import IPv4Network

from manager import node_identity
from manager.control_api.drain_waits import waiting_drain
from manager.control_api.home_waits import waiting_for_data
from manager.store.tables import View
from shoal.api.v1.node_pb2 import NodeDescription, NodeStatus, PathFault


class NodeWarnings:
    """Made once for a listing: what nodes are compared with is the same for all."""

    def __init__(self, view: View) -> None:
        self._view = view
        told = [status.description for node_id, status in view.node_status.items() if node_id in view.nodes]
        self._mtus = Counter(about.underlay_mtu for about in told if about.underlay_mtu)
        self._ports = Counter(about.vxlan_port for about in told if about.vxlan_port)
        subnets = ((IPv4Network(allocation.subnet), network_id) for network_id, allocation in view.allocations.items())
        # Allocations are disjoint, so in the order of their beginnings they are in that of their ends.
        self._subnets = sorted(subnets)
        self._waited_for = waiting_for_data(view)
        self._ends = [int(subnet.broadcast_address) for subnet, _ in self._subnets]

    def of(self, node_id: str) -> Iterator[str]:
        """One line each, for the user."""
        status = self._view.node_status.get(node_id)
        if status is not None:
            if status.state == NodeStatus.UNKNOWN and status.message:
                yield status.message
            if status.refusal:
                yield status.refusal
            if (waits := self._waited_for.get(node_id)) is not None:
                yield waits
            if node_id in self._view.nodes:
                yield from node_identity.claims(self._view.nodes[node_id], status)
                yield from waiting_drain(self._view, self._view.nodes[node_id])
            yield from status.network.problems
            yield from map(self.path, status.network.paths)
            about = status.description
            yield from self.mtu(about)
            yield from self._port(about)
            for text in about.host_prefixes:
                yield from self._overlaps(text, f"its route to {text}")
            yield from self._overlaps(about.local_pool, f"its pool {about.local_pool}, for tasks without a network,")

    def path(self, fault: PathFault) -> str:
        """A line on a path to another node that does not let enough through."""
        other = hostname_at(self._view, fault.address)
        if not fault.mtu:
            return f"nothing passes through the tunnel to node {other}: is its UDP port open on the way, and there?"
        what = "through the tunnel to" if fault.tunnel else "unfragmented to"
        return f"only packets of {fault.mtu} bytes pass {what} node {other}, {fault.expected_mtu} should"

    def mtu(self, about: NodeDescription) -> Iterator[str]:
        """A line when it differs from what most nodes have."""
        if others := _others(self._mtus, about.underlay_mtu):
            yield f"MTU {about.underlay_mtu} on the interface of {about.address}; {others}"

    def _port(self, about: NodeDescription) -> Iterator[str]:
        if others := _others(self._ports, about.vxlan_port):
            yield f"its tunnels are at UDP port {about.vxlan_port}; {others}, so networks do not reach it: --vxlan-port"

    def _overlaps(self, text: str, what: str) -> Iterator[str]:
        try:
            prefix = IPv4Network(text)
        except ValueError:  # an agent's word, or IPv6
            return
        for subnet, network_id in self._subnets[bisect_left(self._ends, int(prefix.network_address)) :]:
            if subnet.network_address > prefix.broadcast_address:
                return
            network = self._view.networks.get(network_id)
            name = network.spec.name if network is not None else network_id
            yield f"{what} overlaps network {name} ({subnet}), whose tasks cannot go there"


def hostname_at(view: View, address: str) -> str:
    """Of the node with this underlay address; the address where there is none."""
    abouts = (status.description for status in view.node_status.values())
    return next((about.hostname for about in abouts if about.address == address and about.hostname), address)


def _others(counted: Counter[int], own: int) -> str:
    """What most nodes have, in words; empty where this one has the same, or has told nothing."""
    if not own or len(counted) < 2:
        return ""
    usual, holders = max(counted.items(), key=lambda item: (item[1], item[0]))
    if own == usual:
        return ""
    number = counted.total()
    return f"the other has {usual}" if number == 2 else f"{holders} of {number} nodes have {usual}"
