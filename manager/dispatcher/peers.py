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


def other_underlay(view: View, node_id: str, address: str) -> str:
    """Why a node with this address cannot be of the cluster, whose tunnels have one version of IP; empty if it can."""
    for other, status in view.node_status.items():
        theirs = status.description.address
        if other == node_id or other not in view.nodes or status.state != NodeStatus.READY or not theirs:
            continue
        if (":" in theirs) != (":" in address) and address:
            name = status.description.hostname or other
            return (
                f"others reach this node by {address} and node {name} by {theirs}: all nodes of a cluster need an "
                "address of the same version of IP; give this one with --advertise-address"
            )
    return ""
