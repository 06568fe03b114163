"""A node as others see it. Pure."""

from shoal.api.v1.dispatcher_pb2 import Peer
from shoal.api.v1.node_pb2 import NodeDescription


def peer_of(node_id: str, about: NodeDescription) -> Peer | None:
    """The peer with its public keys; None while its address is unknown."""
    if not about.address:
        return None
    return Peer(node_id=node_id, address=about.address, vtep_mac=about.vtep_mac, keys=about.overlay_keys)


def without_keys(peer: Peer) -> Peer:
    """The peer for nodes that share no encrypted network with it; the same object if it has no keys."""
    if not peer.keys:
        return peer
    return Peer(node_id=peer.node_id, address=peer.address, vtep_mac=peer.vtep_mac)


def ip_version(address: str) -> int:
    """4 or 6."""
    return 6 if ":" in address else 4
