"""A node as others see it. Pure."""

from manager.store.tables import View
from shoal.api.v1.dispatcher_pb2 import Peer
from shoal.api.v1.node_pb2 import NodeDescription, NodeStatus


def peer_of(node_id: str, about: NodeDescription) -> Peer | None:
    """With its public keys; None as long as nobody knows its address."""
    if not about.address:
        return None
    return Peer(node_id=node_id, address=about.address, vtep_mac=about.vtep_mac, keys=about.overlay_keys)


def without_keys(peer: Peer) -> Peer:
    """For nodes that encrypt nothing with it; the very same object when there is nothing to take away."""
    if not peer.keys:
        return peer
    return Peer(node_id=peer.node_id, address=peer.address, vtep_mac=peer.vtep_mac)


class Underlay:
    """By which version of IP the cluster's nodes reach each other, kept in step with the store."""

    def __init__(self, view: View) -> None:
        self._view = view
        self._ready: dict[bool, dict[str, None]] = {True: {}, False: {}}
        for node_id in view.node_status:
            self.note(node_id)

    def note(self, node_id: str) -> None:
        """The status of a node has changed."""
        for nodes in self._ready.values():
            nodes.pop(node_id, None)
        status = self._view.node_status.get(node_id)
        if status is not None and status.state == NodeStatus.READY and status.description.address:
            self._ready[":" in status.description.address][node_id] = None

    def refusal(self, node_id: str, address: str) -> str:
        """Why a node with this address cannot be of the cluster, whose tunnels have one version of IP; empty if it can.

        Looks at one other node: thousands may ask at once.
        """
        if not address:
            return ""
        unlike = self._ready[":" not in address]
        other = next((each for each in unlike if each != node_id and each in self._view.nodes), None)
        if other is None:
            return ""
        theirs = self._view.node_status[other].description
        return (
            f"others reach this node by {address} and node {theirs.hostname or other} by {theirs.address}: all nodes "
            "of a cluster need an address of the same version of IP; give this one with --advertise-address"
        )
