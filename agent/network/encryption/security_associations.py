"""IPsec ESP security associations: key agreement, and which to add or delete. Pure.

Two nodes agree on keys without a word: each makes a pair of keys (X25519), tells the public half, and derives a key for
each direction from its own private half and the other's public one (HKDF, RFC 5869). AES-GCM is broken by a number that
comes twice under one key (RFC 4106, 9), and the numbers are the kernel's, which begins anew with each association. So
an association with a given key is installed once. One that was installed and is not there any more makes the private
half *spent*: the node makes another, and by it has new keys with everybody.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from ipaddress import ip_address

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from agent.network.netlink.rtnetlink import Address
from agent.network.netlink.xfrm import KEY_BYTES, MIN_SPI, SecurityAssociation

_LABEL = b"shoal overlay, ESP, AES-GCM"
REQID = 0x53680000
"""Of our associations and policies; one for each of the two generations that there may be."""


@dataclass(frozen=True)
class EspPeer:
    """A node that is spoken to: its public key, and where it is."""

    key: bytes
    address: Address

    def __str__(self) -> str:
        return f"{self.key.hex()}@{self.address}"


def parse_esp_peer(text: str) -> EspPeer:
    """From `str(parse_esp_peer)`.

    Raises:
        ValueError: it is none.
    """
    key, _, address = text.partition("@")
    return EspPeer(bytes.fromhex(key), ip_address(address))


@dataclass(frozen=True)
class EspSecret:
    """A node's private half of one generation, and for whom associations were installed by it.

    Attributes:
        used: all of them, whether or not they are still there.
        retired: those of them whose associations were deleted on purpose, since the node there has another key now.
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
    """Of the associations and policies of a generation: two in turn."""
    return REQID + generation % 2


@dataclass(frozen=True)
class AssociationPair:
    """Both directions between this node and another."""

    inbound: SecurityAssociation
    outbound: SecurityAssociation


@lru_cache(maxsize=8192)
def association_pair(generation: int, private: bytes, local: Address, peer: EspPeer) -> AssociationPair | None:
    """What both nodes reckon, each from its own private half; None for what is no public key (RFC 7748, 6.1)."""
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
    """Whether an association that was installed by this secret is gone, or is not what it was."""
    known = frozenset(actual)
    for each in secret.used - secret.retired:
        both = association_pair(secret.generation, secret.private, local, each)
        if both is not None and not {both.inbound, both.outbound} <= known:
            return True
    return False


@dataclass(frozen=True)
class AssociationPlan:
    """The way to what a node wants.

    Attributes:
        secret: to be written down before anything is done.
        add: inward ones first: whoever hears from us may answer.
        delete: afterwards.
        connected: those with whom there are associations then.
    """

    secret: EspSecret
    add: tuple[SecurityAssociation, ...] = ()
    delete: tuple[SecurityAssociation, ...] = ()
    connected: frozenset[EspPeer] = frozenset()


def plan_associations(secret: EspSecret, local: Address, peers: Collection[EspPeer]) -> AssociationPlan | None:
    """What to do for a secret that is not spent. None when somebody is wanted whose associations are deleted already,
    which is told as a spent secret.

    Who is not wanted any more may come back with the same key, and so keeps its associations as long as the secret
    lives; but not when another key is wanted at the same place: packets there would go by the older one.
    """
    if secret.retired & frozenset(peers):
        return None
    moved = {each.address for each in peers}
    gone = {each for each in secret.used - secret.retired if each not in peers and each.address in moved}
    desired = {
        each: both for each in peers if (both := association_pair(secret.generation, secret.private, local, each))
    }
    new = [both for each, both in desired.items() if each not in secret.used]
    old = [both for each in gone if (both := association_pair(secret.generation, secret.private, local, each))]
    return AssociationPlan(
        replace(secret, used=secret.used | desired.keys(), retired=secret.retired | gone),
        add=(*(both.inbound for both in new), *(both.outbound for both in new)),
        delete=tuple(state for both in old for state in (both.outbound, both.inbound)),
        connected=frozenset(desired),
    )


def confirmed_keys(secret: EspSecret, local: Address, received: Mapping[SecurityAssociation, int]) -> frozenset[bytes]:
    """Keys of those from whom anything has come; they take in too, since each makes its inward associations first."""
    found = set()
    for each in secret.used - secret.retired:
        both = association_pair(secret.generation, secret.private, local, each)
        if both is not None and received.get(both.inbound, 0):
            found.add(each.key)
    return frozenset(found)
