"""Encodes and decodes XFRM's netlink messages (linux/xfrm.h, xfrm_user.c): ESP security associations and policies.

Associations are in transport mode, with AES-GCM (RFC 4106) and extended sequence numbers (RFC 4303, 2.2.1).
"""

import struct
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address, ip_address

from agent.network.ip_types import AF_INET, AF_INET6, Address, family_of
from agent.network.netlink.connection import Connection
from agent.network.netlink.rtnetlink import CREATE, EXCLUSIVE, NOT_FOUND, Message, attribute
from agent.network.netlink.rtnetlink_dump import parse_attributes

XFRM = 6
"""NETLINK_XFRM: the family of the `Connection` for the calls here."""
KEY_BYTES = 36
"""Of an AES-256 key, and four of salt (RFC 4106, 8.1)."""
MIN_SPI = 256
"""Smaller ones are reserved (RFC 4303, 2.1)."""
IN, OUT = 0, 1
"""Directions of policies."""

_NEW_STATE, _DELETE_STATE, _GET_STATE = 0x10, 0x11, 0x12
_DELETE_POLICY, _GET_POLICY, _UPDATE_POLICY = 0x14, 0x15, 0x19
_TEMPLATE, _AEAD, _REPLAY_ESN = 5, 18, 23
_ESP, _UDP = 50, 17
_TRANSPORT = 0
_ESN = 128
_ALGORITHM = b"rfc4106(gcm(aes))"
_TAG_BITS = 128
_WINDOW = 1024
"""Anti-replay window, packets."""
_INFINITE = (1 << 64) - 1
_ANY = 0xFFFFFFFF
_FIRST = 1
"""Priority of our policies: before those of other programs."""

_SELECTOR = struct.Struct("=16s16s2s2s2s2sHBBB3xiI")
_LIFETIME = struct.pack("=QQQQQQQQ", *(_INFINITE,) * 4, 0, 0, 0, 0)
_USED = struct.Struct("=QQQQ")
_ID = struct.Struct("=16s4sB3x")
_STATE_BYTES, _POLICY_BYTES = 224, 168
_USED_AT, _REQID_AT = 160, 208


@dataclass(frozen=True)
class SecurityAssociation:
    """A security association: one direction between two addresses.

    Attributes:
        spi: 32 bits, the same on both sides (RFC 4303, 2.1).
        key: of AES-256, with its salt.
        reqid: ties policies to their associations.
    """

    source: Address
    destination: Address
    spi: int
    key: bytes = field(repr=False)
    reqid: int


@dataclass(frozen=True)
class StateUsage:
    """An association as the kernel has it, with the bytes and packets that have used it."""

    state: SecurityAssociation
    bytes: int
    packets: int


@dataclass(frozen=True)
class Policy:
    """Datagrams to this UDP port are dropped unless an association with this reqid encrypts them."""

    direction: int
    family: int
    port: int
    reqid: int


def add_state(state: SecurityAssociation) -> Message:
    """Refused where the SPI is in use: an association is never changed."""
    body = _selector(family_of(state.source), 0) + _id(state) + _packed(state.source) + _LIFETIME
    body += _USED.pack(0, 0, 0, 0) + struct.pack("=III", 0, 0, 0) + struct.pack("=II", 0, state.reqid)
    body += struct.pack("=HBBB7x", family_of(state.source), _TRANSPORT, 0, _ESN)
    algorithm = _ALGORITHM.ljust(64, b"\0") + struct.pack("=II", len(state.key) * 8, _TAG_BITS) + state.key
    words = _WINDOW // 32
    replay = struct.pack("=IIIIII", words, 0, 0, 0, 0, _WINDOW) + bytes(4 * words)
    body += attribute(_AEAD, algorithm) + attribute(_REPLAY_ESN, replay)
    description = f"add the security association to {state.destination} (SPI {state.spi:#010x})"
    return Message(_NEW_STATE, CREATE | EXCLUSIVE, body, description)


def delete_state(state: SecurityAssociation) -> Message:
    body = _packed(state.destination) + state.spi.to_bytes(4, "big")
    body += struct.pack("=HBx", family_of(state.destination), _ESP)
    description = f"delete the security association to {state.destination} (SPI {state.spi:#010x})"
    return Message(_DELETE_STATE, 0, body, description, NOT_FOUND)


def add_policy(policy: Policy) -> Message:
    """Add a policy, or replace the existing one."""
    body = _selector(policy.family, policy.port) + _LIFETIME + _USED.pack(0, 0, 0, 0)
    body += struct.pack("=IIBBBB4x", _FIRST, 0, policy.direction, 0, 0, 0)
    template = _ID.pack(bytes(16), bytes(4), _ESP) + struct.pack("=H2x16s", policy.family, bytes(16))
    template += struct.pack("=IBBBx", policy.reqid, _TRANSPORT, 0, 0) + struct.pack("=III", _ANY, _ANY, _ANY)
    return Message(_UPDATE_POLICY, CREATE, body + attribute(_TEMPLATE, template), _policy_text("set", policy))


def delete_policy(policy: Policy) -> Message:
    body = _selector(policy.family, policy.port) + struct.pack("=IB3x", 0, policy.direction)
    return Message(_DELETE_POLICY, 0, body, _policy_text("delete", policy), NOT_FOUND)


def states(connection: Connection) -> list[StateUsage]:
    """Every ESP association in transport mode with AES-GCM."""
    found = []
    for reply in connection.dump(_GET_STATE, b""):
        kind, mode = struct.unpack_from("=HB", reply.body, 212)
        algorithm = parse_attributes(reply.body, _STATE_BYTES).get(_AEAD, b"")
        if reply.body[76] != _ESP or mode != _TRANSPORT or algorithm[:64].rstrip(b"\0") != _ALGORITHM:
            continue
        size = struct.unpack_from("=I", algorithm, 64)[0] // 8
        destination, source = _address(reply.body[56:72], kind), _address(reply.body[80:96], kind)
        spi, (reqid,) = int.from_bytes(reply.body[72:76], "big"), struct.unpack_from("=I", reply.body, _REQID_AT)
        used, packets = struct.unpack_from("=QQ", reply.body, _USED_AT)
        state = SecurityAssociation(source, destination, spi, algorithm[72 : 72 + size], reqid)
        found.append(StateUsage(state, used, packets))
    return found


def policies(connection: Connection) -> list[Policy]:
    """Every policy that requires ESP for datagrams to a port, whatever their addresses."""
    found = []
    for reply in connection.dump(_GET_POLICY, b""):
        template = parse_attributes(reply.body, _POLICY_BYTES).get(_TEMPLATE, b"")
        selector = _SELECTOR.unpack_from(reply.body)
        port, mask, kind, protocol = selector[2], selector[3], selector[6], selector[9]
        wide = selector[7:9] == (0, 0) and protocol == _UDP and mask == b"\xff\xff"
        if wide and len(template) == 64 and reply.body[161] == 0:
            (reqid,) = struct.unpack_from("=I", template, 44)
            found.append(Policy(reply.body[160], kind, int.from_bytes(port, "big"), reqid))
    return found


def _selector(family: int, port: int) -> bytes:
    """Matches datagrams to the port; everything when it is 0."""
    mask = b"\xff\xff" if port else b"\0\0"
    protocol = _UDP if port else 0
    anywhere = bytes(16)
    return _SELECTOR.pack(
        anywhere, anywhere, port.to_bytes(2, "big"), mask, b"\0\0", b"\0\0", family, 0, 0, protocol, 0, 0
    )


def _id(state: SecurityAssociation) -> bytes:
    return _ID.pack(_packed(state.destination), state.spi.to_bytes(4, "big"), _ESP)


def _packed(address: Address) -> bytes:
    return address.packed.ljust(16, b"\0")


def _address(packed: bytes, family: int) -> Address:
    return IPv4Address(packed[:4]) if family == AF_INET else IPv6Address(packed)


def _policy_text(verb: str, policy: Policy) -> str:
    return f"{verb} the IPsec policy for UDP port {policy.port} ({'out' if policy.direction == OUT else 'in'})"


_PROBE_ADDRESSES = {AF_INET: ("192.0.2.1", "192.0.2.2"), AF_INET6: ("2001:db8::1", "2001:db8::2")}
"""Documentation addresses (RFC 5737, RFC 3849)."""


def probe(family: int, key: bytes, spi: int) -> tuple[Message, Message]:
    """Requests that only a kernel with ESP and AES-GCM accepts: the second undoes the first."""
    source, destination = map(ip_address, _PROBE_ADDRESSES[family])
    state = SecurityAssociation(source, destination, spi, key, 0)
    return add_state(state), delete_state(state)
