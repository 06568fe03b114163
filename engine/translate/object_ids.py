"""Ids as Docker's clients have them, of objects of the cluster and back. Pure.

Containers, networks, images' containers: 64 hexadecimal digits, which begin with the object's own 65 bits
(`shoal.container_ids`). The swarm side has 25 characters of base 36: there ids stay as they are, 13 characters, since
clients only compare them and take their beginnings.
"""

from hashlib import sha256

from shoal.container_ids import container_id, object_id
from shoal.ids import is_id


def docker_id(identifier: str) -> str:
    """64 digits of an object's id; of one that has no id of the usual form, as the network `ingress`, a digest."""
    return container_id(identifier) if is_id(identifier) else sha256(f"shoal {identifier}".encode()).hexdigest()


def reference(text: str) -> str:
    """What a client names, as managers understand it: a whole id as the object's own, all else as it is."""
    text = text.removeprefix("/")
    return object_id(text) or text


def digits(identifier: str) -> str:
    """64 digits where it is an id; else as it is: ids of other systems, modes of networks."""
    return docker_id(identifier) if is_id(identifier) else identifier
