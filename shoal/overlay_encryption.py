"""Encrypted networks: how they are asked for, and what they need of a node's kernel."""

from shoal.api.v1.cluster_pb2 import OverlayKeys
from shoal.api.v1.network_pb2 import NetworkSpec
from shoal.api.v1.node_pb2 import NodeDescription

OPTION = "encrypted"
VALUES = {"": True, "true": True, "false": False}
"""Docker's users give the option without a value."""
FEATURE = "wireguard"
"""In `NodeDescription.features`."""
FEATURE_NAME = "WireGuard"
FIRST_GENERATION = 1
"""Of keys, before they are changed for the first time."""


def is_encrypted(spec: NetworkSpec) -> bool:
    """Whether packets of the network are encrypted between nodes."""
    return OPTION in spec.options and VALUES.get(spec.options[OPTION], False)


def can_encrypt(about: NodeDescription) -> bool:
    """Whether the node may have tasks on encrypted networks."""
    return FEATURE in about.features


def key_generation(record: OverlayKeys | None) -> int:
    """Of the keys that nodes are to use, by the cluster's record of it."""
    return record.generation if record is not None else FIRST_GENERATION
