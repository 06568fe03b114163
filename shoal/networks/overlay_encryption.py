"""Encrypted networks: the option that requests them, and the kernel features that they need."""

from shoal.api.v1.cluster_pb2 import OverlayKeys
from shoal.api.v1.network_pb2 import NetworkSpec
from shoal.api.v1.node_pb2 import NodeDescription

OPTION = "encrypted"
VALUES = {"": True, "true": True, "false": False}
"""Docker's users give the option without a value."""
WIREGUARD, ESP = "wireguard", "esp"
"""In `NodeDescription.features`: what a node can encrypt by."""
AUTO = "auto"
BACKENDS = (AUTO, WIREGUARD, ESP)
"""What an agent may be told to use: what its kernel has, or one of them alone."""
FIRST_GENERATION = 1
"""Of keys, before they are changed for the first time."""


def is_encrypted(spec: NetworkSpec) -> bool:
    """Whether packets of the network are encrypted between nodes."""
    return OPTION in spec.options and VALUES.get(spec.options[OPTION], False)


def can_encrypt(about: NodeDescription) -> bool:
    """Whether the node has anything to encrypt by."""
    return WIREGUARD in about.features or ESP in about.features


def has_only_wireguard(about: NodeDescription) -> bool:
    """Whether nodes without WireGuard cannot speak with it."""
    return WIREGUARD in about.features and ESP not in about.features


def missing_feature(about: NodeDescription, *, wireguard_only: bool) -> str:
    """What the node lacks to have tasks on encrypted networks; empty when it may have them.

    Args:
        wireguard_only: some node of the cluster has WireGuard alone, so all others need it too.
    """
    if WIREGUARD in about.features or (ESP in about.features and not wireguard_only):
        return ""
    return "WireGuard" if wireguard_only else "WireGuard and IPsec ESP"


def key_generation(record: OverlayKeys | None) -> int:
    """Of the keys that nodes are to use, by the cluster's record of it."""
    return record.generation if record is not None else FIRST_GENERATION
