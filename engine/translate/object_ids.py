"""Ids as Docker's clients have them, of objects of the cluster and back. Pure.

Containers, networks, images' containers: 64 hexadecimal digits, which begin with the object's own 65 bits
(`shoal.container_ids`). The swarm side has 25 characters of base 36: there ids stay as they are, 13 characters, since
clients only compare them and take their beginnings.
"""

from hashlib import sha256

from shoal.container_ids import container_id, object_id
from shoal.ids import is_id
from shoal.networks.network_modes import BRIDGE, HOST, NONE


def docker_id(identifier: str) -> str:
    """64 digits of an object's id; of one that has no id of the usual form, as the network `ingress`, a digest."""
    return container_id(identifier) if is_id(identifier) else sha256(f"shoal {identifier}".encode()).hexdigest()


def builtin_network_id(mode: str) -> str:
    """The id of a network that every node has, "bridge": the same on every engine, since clients remember it."""
    return sha256(f"shoal network {mode}".encode()).hexdigest()


def reference(text: str) -> str:
    """What a client names, as managers understand it: a whole id as the object's own, all else as it is."""
    text = text.removeprefix("/")
    return object_id(text) or text


def network_reference(text: str) -> str:
    """As `reference`; one of the networks that every node has by its name, since managers know it by that alone."""
    return _OF_EVERY_NODE.get(text, "") or reference(text)


def digits(identifier: str) -> str:
    """64 digits where it is an id; else as it is: ids of other systems, modes of networks."""
    return docker_id(identifier) if is_id(identifier) else identifier


_OF_EVERY_NODE = {builtin_network_id(name): name for name in (BRIDGE, HOST, NONE)}
