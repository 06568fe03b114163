"""Encodes and decodes WireGuard's netlink messages (linux/wireguard.h; generic netlink, linux/genetlink.h).

The kernel returns a device's private key to processes that may set it; it is ignored here.
"""

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address, ip_network

from agent.network.ip_types import AF_INET, AF_INET6, Address, Network
from agent.network.netlink.connection import Connection
from agent.network.netlink.rtnetlink import (
    CREATE,
    EXCLUSIVE,
    NEWLINK,
    NOT_FOUND,
    Message,
    attribute,
    mtu_of_link,
    named_link,
    nest,
    u32,
)
from agent.network.netlink.rtnetlink_dump import parse_attributes

GENERIC = 16
"""NETLINK_GENERIC: the family of the `Connection` for the calls here."""
KEY_BYTES = 32

_CONTROL, _GET_FAMILY = 16, 3
_GET_DEVICE, _SET_DEVICE = 0, 1
_REMOVE_PEER = 1
_MAX_ALLOWED_IPS = 1000
"""Addresses in one message: an attribute has at most 65,535 bytes, and each address takes up to 40."""


@dataclass(frozen=True)
class TunnelPeer:
    """A peer's configuration.

    Attributes:
        endpoint: address and UDP port.
        allowed_ips: source addresses that are accepted from it; packets to them are sent to it.
        keepalive_seconds: between empty packets; 0 for none.
    """

    key: bytes
    endpoint: tuple[Address, int] | None
    allowed_ips: frozenset[Network]
    keepalive_seconds: int = 0


@dataclass(frozen=True)
class PeerState:
    """A peer as the kernel has it.

    Attributes:
        handshake: time of the last handshake, seconds since the Unix epoch; 0 for never.
        received: bytes.
    """

    peer: TunnelPeer
    handshake: int
    received: int


@dataclass(frozen=True)
class Device:
    """A device as the kernel has it; peers by their public key."""

    key: bytes
    port: int
    peers: Mapping[bytes, PeerState] = field(default_factory=dict)


def family(connection: Connection) -> int | None:
    """The generic netlink family of WireGuard; the kernel loads the module for it. None when it has none."""
    request = struct.pack("=BBH", _GET_FAMILY, 1, 0) + attribute(2, b"wireguard\0")
    for reply in connection.request(_CONTROL, request):
        return int(struct.unpack_from("=H", parse_attributes(reply.body, 4)[1])[0])
    return None


def add_device(name: str, mtu: int) -> Message:
    """A device that is down, without a key."""
    body = named_link(name) + mtu_of_link(mtu) + nest(18, attribute(1, b"wireguard\0"))
    return Message(NEWLINK, CREATE | EXCLUSIVE, body, f"create WireGuard device {name}")


def set_device(number_of_family: int, link: int, private_key: bytes, port: int) -> Message:
    """Set a device's key and UDP port."""
    body = u32(1, link) + attribute(3, private_key) + attribute(6, struct.pack("=H", port))
    return _set_message(number_of_family, body, "set the key of a WireGuard device")


def add_peer(number_of_family: int, link: int, peer: TunnelPeer) -> Iterator[Message]:
    """Add a peer, or add to an existing one. Addresses of another peer move to this one atomically."""
    addresses = sorted(map(_allowed, peer.allowed_ips))
    head = attribute(1, peer.key) + attribute(5, struct.pack("=H", peer.keepalive_seconds))
    if peer.endpoint is not None:
        head += attribute(4, _endpoint(*peer.endpoint))
    for start in range(0, max(len(addresses), 1), _MAX_ALLOWED_IPS):
        body = head + nest(9, *addresses[start : start + _MAX_ALLOWED_IPS])
        yield _set_message(number_of_family, u32(1, link) + nest(8, nest(0, body)), "update a WireGuard peer")


def remove_peer(number_of_family: int, link: int, key: bytes) -> Message:
    body = nest(8, nest(0, attribute(1, key), u32(3, _REMOVE_PEER)))
    message = _set_message(number_of_family, u32(1, link) + body, "remove a WireGuard peer")
    return message._replace(ignored_errors=NOT_FOUND)


def device(connection: Connection, number_of_family: int, link: int) -> Device:
    """The device as the kernel has it. A peer with many addresses spans several messages.

    Raises:
        Unavailable: the device does not exist.
    """
    key, port = b"", 0
    peers: dict[bytes, PeerState] = {}
    for reply in connection.dump(number_of_family, struct.pack("=BBH", _GET_DEVICE, 1, 0) + u32(1, link)):
        value = parse_attributes(reply.body, 4)
        key = value.get(4, key)
        port = struct.unpack_from("=H", value[6])[0] if 6 in value else port
        for body in _items(value.get(8, b"")):
            _read_peer(parse_attributes(body, 0), peers)
    return Device(key, port, peers)


def _read_peer(value: Mapping[int, bytes], peers: dict[bytes, PeerState]) -> None:
    allowed = frozenset(_read_allowed(parse_attributes(body, 0)) for body in _items(value.get(9, b"")))
    key = value[1]
    if (known := peers.get(key)) is not None:
        whole = TunnelPeer(key, known.peer.endpoint, known.peer.allowed_ips | allowed, known.peer.keepalive_seconds)
        peers[key] = PeerState(whole, known.handshake, known.received)
        return
    keepalive = struct.unpack_from("=H", value[5])[0] if 5 in value else 0
    handshake = struct.unpack_from("=q", value[6])[0] if 6 in value else 0
    received = struct.unpack_from("=Q", value[7])[0] if 7 in value else 0
    peers[key] = PeerState(TunnelPeer(key, _read_endpoint(value.get(4)), allowed, keepalive), handshake, received)


def _set_message(number_of_family: int, body: bytes, description: str) -> Message:
    return Message(number_of_family, 0, struct.pack("=BBH", _SET_DEVICE, 1, 0) + body, description)


def _items(body: bytes) -> Iterator[bytes]:
    """The members of a list, all with the same attribute number."""
    offset = 0
    while offset + 4 <= len(body):
        length, _ = struct.unpack_from("=HH", body, offset)
        if length < 4:
            return
        yield body[offset + 4 : offset + length]
        offset += (length + 3) & ~3


def _allowed(prefix: Network) -> bytes:
    kind = AF_INET if prefix.version == 4 else AF_INET6
    return nest(
        0,
        attribute(1, struct.pack("=H", kind)),
        attribute(2, prefix.network_address.packed),
        attribute(3, bytes([prefix.prefixlen])),
    )


def _read_allowed(value: Mapping[int, bytes]) -> Network:
    size = 4 if struct.unpack_from("=H", value[1])[0] == AF_INET else 16
    return ip_network((value[2][:size], value[3][0]))


def _endpoint(address: Address, port: int) -> bytes:
    """struct sockaddr_in or sockaddr_in6 (ip(7), ipv6(7))."""
    if address.version == 4:
        return struct.pack("=H", AF_INET) + struct.pack(">H", port) + address.packed + bytes(8)
    return struct.pack("=H", AF_INET6) + struct.pack(">HI", port, 0) + address.packed + bytes(4)


def _read_endpoint(value: bytes | None) -> tuple[Address, int] | None:
    if value is None or len(value) < 16:
        return None
    kind, port = struct.unpack_from("=H", value)[0], struct.unpack_from(">H", value, 2)[0]
    return (IPv4Address(value[4:8]) if kind == AF_INET else IPv6Address(value[8:24])), port
