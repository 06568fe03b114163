"""IPsec ESP security associations: key agreement, and which to add or delete. Pure.

Two nodes agree on keys without a negotiation: each creates a key pair (X25519), publishes the public key, and derives a
key for each direction from its own private key and the other's public one (HKDF, RFC 5869). Reusing a sequence number
under one key breaks AES-GCM (RFC 4106, 9), and the kernel restarts the numbers with each association. So an association
with a given key is installed only once. If one that was installed is missing, the private key *needs a rekey*: the node
creates another one, and thereby has new keys with every other node.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from ipaddress import ip_address

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from agent.network.ip_types import Address
from agent.network.netlink.xfrm import KEY_BYTES, MIN_SPI, SecurityAssociation

_LABEL = b"shoal overlay, ESP, AES-GCM"
REQID = 0x53680000
"""First reqid of our associations and policies; one for each of the two generations that may exist."""


@dataclass(frozen=True)
class EspPeer:
    """Another node: its public key and underlay address."""

    key: bytes
    address: Address

    def __str__(self) -> str:
        return f"{self.key.hex()}@{self.address}"


def parse_esp_peer(text: str) -> EspPeer:
    """Parse `str(EspPeer)`.

    Raises:
        ValueError: it is invalid.
    """
    key, _, address = text.partition("@")
    return EspPeer(bytes.fromhex(key), ip_address(address))


@dataclass(frozen=True)
class EspSecret:
    """A node's private key of one generation, and the peers that it has had associations with.

    Attributes:
        used: all of them, whether or not the associations still exist.
        retired: those of them whose associations were deleted on purpose, since that node has another key now.
    """

    generation: int
    private: bytes = field(repr=False)
    used: frozenset[EspPeer] = frozenset()
    retired: frozenset[EspPeer] = frozenset()

    @property
    def public(self) -> bytes:
        return _public(self.private)


@lru_cache(maxsize=16)
def _public(private: bytes) -> bytes:
    return X25519PrivateKey.from_private_bytes(private).public_key().public_bytes_raw()


def reqid(generation: int) -> int:
    """The reqid of a generation's associations and policies: two alternating ones."""
    return REQID + generation % 2


@dataclass(frozen=True)
class AssociationPair:
    """Both directions between this node and another."""

    inbound: SecurityAssociation
    outbound: SecurityAssociation


@lru_cache(maxsize=8192)
def association_pair(generation: int, private: bytes, local: Address, peer: EspPeer) -> AssociationPair | None:
    """The pair that both nodes derive, each from its private key; None for an invalid public key (RFC 7748, 6.1)."""
    try:
        shared = X25519PrivateKey.from_private_bytes(private).exchange(X25519PublicKey.from_public_bytes(peer.key))
    except ValueError:
        return None
    own = EspPeer(_public(private), local)
    return AssociationPair(_state(generation, shared, peer, own), _state(generation, shared, own, peer))


def _state(generation: int, shared: bytes, sender: EspPeer, receiver: EspPeer) -> SecurityAssociation:
    ends = (part for end in (sender, receiver) for part in (end.key, end.address.packed))
    info = b"".join((_LABEL, generation.to_bytes(8, "big"), *ends))
    derived = HKDF(algorithm=SHA256(), length=KEY_BYTES + 4, salt=None, info=info).derive(shared)
    spi = MIN_SPI + int.from_bytes(derived[KEY_BYTES:], "big") % ((1 << 32) - MIN_SPI)
    return SecurityAssociation(sender.address, receiver.address, spi, derived[:KEY_BYTES], reqid(generation))


def needs_rekey(secret: EspSecret, local: Address, actual: Collection[SecurityAssociation]) -> bool:
    """Whether an association that was installed with this secret is missing or was changed."""
    known = frozenset(actual)
    for each in secret.used - secret.retired:
        both = association_pair(secret.generation, secret.private, local, each)
        if both is not None and not {both.inbound, both.outbound} <= known:
            return True
    return False


@dataclass(frozen=True)
class AssociationPlan:
    """The steps to the desired associations.

    Attributes:
        secret: to be stored before any other step.
        add: inbound ones first, since a node may reply as soon as it hears from this one.
        delete: afterwards.
        connected: peers that then have associations.
    """

    secret: EspSecret
    add: tuple[SecurityAssociation, ...] = ()
    delete: tuple[SecurityAssociation, ...] = ()
    connected: frozenset[EspPeer] = frozenset()


def plan_associations(secret: EspSecret, local: Address, peers: Collection[EspPeer]) -> AssociationPlan | None:
    """The plan for a secret that needs no rekey. None when a desired peer's associations were deleted already: then it
    needs one.

    A peer that is no longer desired may return with the same key, and so keeps its associations as long as the secret
    exists; unless another key is desired at the same address: packets would use the older one.
    """
    if secret.retired & frozenset(peers):
        return None
    addresses = {each.address for each in peers}
    replaced = {each for each in secret.used - secret.retired if each not in peers and each.address in addresses}
    desired = {
        each: both for each in peers if (both := association_pair(secret.generation, secret.private, local, each))
    }
    new = [both for each, both in desired.items() if each not in secret.used]
    old = [both for each in replaced if (both := association_pair(secret.generation, secret.private, local, each))]
    return AssociationPlan(
        replace(secret, used=secret.used | desired.keys(), retired=secret.retired | replaced),
        add=(*(both.inbound for both in new), *(both.outbound for both in new)),
        delete=tuple(state for both in old for state in (both.outbound, both.inbound)),
        connected=frozenset(desired),
    )


def confirmed_keys(secret: EspSecret, local: Address, received: Mapping[SecurityAssociation, int]) -> frozenset[bytes]:
    """Keys of peers that have sent anything; they receive too, since each node adds its inbound associations first."""
    found = set()
    for each in secret.used - secret.retired:
        both = association_pair(secret.generation, secret.private, local, each)
        if both is not None and received.get(both.inbound, 0):
            found.add(each.key)
    return frozenset(found)
