"""Warnings about nodes: settings that differ from other nodes or conflict with networks. Pure."""

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator
from ipaddress import IPv4Network

from manager import node_identity
from manager.nodes.drain_status import drain_warning
from manager.store.tables import View
from manager.volumes.data_waits import tasks_waiting_for_data
from shoal.api.v1.node_pb2 import NodeDescription, NodeStatus, PathFault


class NodeWarnings:
    """Built once per listing: the values that nodes are compared with are the same for all nodes."""

    def __init__(self, view: View) -> None:
        self._view = view
        descriptions = [status.description for node_id, status in view.node_status.items() if node_id in view.nodes]
        self._mtus = Counter(about.underlay_mtu for about in descriptions if about.underlay_mtu)
        self._ports = Counter(about.vxlan_port for about in descriptions if about.vxlan_port)
        subnets = ((IPv4Network(allocation.subnet), network_id) for network_id, allocation in view.allocations.items())
        # Allocations are disjoint, so in the order of their beginnings they are in that of their ends.
        self._subnets = sorted(subnets)
        self._data_waits = tasks_waiting_for_data(view)
        self._ends = [int(subnet.broadcast_address) for subnet, _ in self._subnets]

    def warnings_for(self, node_id: str) -> Iterator[str]:
        """One line each, for the user."""
        status = self._view.node_status.get(node_id)
        if status is not None:
            if status.state == NodeStatus.UNKNOWN and status.message:
                yield status.message
            if status.session_error:
                yield status.session_error
            if (waits := self._data_waits.get(node_id)) is not None:
                yield waits
            if node_id in self._view.nodes:
                yield from node_identity.warnings(self._view.nodes[node_id], status)
                yield from drain_warning(self._view, self._view.nodes[node_id])
            yield from orphan_warning(status)
            yield from status.network_condition.problems
            yield from map(self.path_warning, status.network_condition.paths)
            about = status.description
            yield from self.mtu_warning(about)
            yield from self._port(about)
            for text in about.host_prefixes:
                yield from self._overlaps(text, f"route to {text}")
            yield from self._overlaps(about.local_pool, f"local address pool {about.local_pool}")

    def path_warning(self, fault: PathFault) -> str:
        """One line about a path to another node that loses large packets."""
        other = hostname_at(self._view, fault.address)
        if not fault.mtu:
            return f"the tunnel to node {other} does not work: check that its UDP port is open in all firewalls"
        what = "in the tunnel to" if fault.tunnel else "on the way to"
        return f"packets larger than {fault.mtu} bytes are lost {what} node {other} (expected MTU {fault.expected_mtu})"

    def mtu_warning(self, about: NodeDescription) -> Iterator[str]:
        """One line when the MTU differs from that of most nodes."""
        if others := _majority(self._mtus, about.underlay_mtu):
            yield f"MTU {about.underlay_mtu} on the interface of {about.address}; {others}"

    def _port(self, about: NodeDescription) -> Iterator[str]:
        if others := _majority(self._ports, about.vxlan_port):
            yield (
                f"VXLAN port is {about.vxlan_port}, but {others}: overlay "
                "networks do not reach this node (see --vxlan-port)"
            )

    def _overlaps(self, text: str, what: str) -> Iterator[str]:
        try:
            prefix = IPv4Network(text)
        except ValueError:  # reported by an agent: may be IPv6, or invalid
            return
        for subnet, network_id in self._subnets[bisect_left(self._ends, int(prefix.network_address)) :]:
            if subnet.network_address > prefix.broadcast_address:
                return
            network = self._view.networks.get(network_id)
            name = network.spec.name if network is not None else network_id
            yield f"{what} overlaps network {name} ({subnet}); tasks on that network cannot run here"


def orphan_warning(status: NodeStatus) -> Iterator[str]:
    """One line when the node keeps any."""
    number = status.orphaned_count
    if number:
        what = "1 container that has" if number == 1 else f"{number} containers that have"
        yield f"it keeps the files of {what} no record in the cluster (see `shoal node orphans`)"


def hostname_at(view: View, address: str) -> str:
    """The hostname of the node with this underlay address; the address if there is none."""
    abouts = (status.description for status in view.node_status.values())
    return next((about.hostname for about in abouts if about.address == address and about.hostname), address)


def _majority(counted: Counter[int], own: int) -> str:
    """Text with the value of most nodes; empty if this one has the same, or has not reported any."""
    if not own or len(counted) < 2:
        return ""
    usual, holders = max(counted.items(), key=lambda item: (item[1], item[0]))
    if own == usual:
        return ""
    number = counted.total()
    return f"the other node uses {usual}" if number == 2 else f"{holders} of {number} nodes use {usual}"
