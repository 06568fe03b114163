"""Packets made by hand, in the shapes that could pass a rule that looks at ports; and what is seen on a wire."""

import re
import socket
import struct
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from ipaddress import IPv4Address, IPv6Address, ip_address
from itertools import count

from tests.integration.network.netns_hosts import inside, until

UDP, GRE, ESP, AH, IPIP, IP6IP = 17, 47, 50, 51, 4, 41
_FRAGMENT, _OPTIONS = 44, 60
_MORE = 1
_numbers = count(1)
Address = IPv4Address | IPv6Address


def label(name: str) -> bytes:
    """Marks a payload: every 64 bytes of it, so every fragment, show whose it is."""
    return f"<<{name}>>".encode().ljust(64, b".")


_LABEL = re.compile(rb"<<([^<>]*)>>")


def checksum(data: bytes) -> int:
    """RFC 1071."""
    padded = data + b"\0" * (len(data) % 2)
    total: int = sum(struct.unpack(f">{len(padded) // 2}H", padded))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def udp(source: Address, target: Address, ports: tuple[int, int], payload: bytes) -> bytes:
    head = struct.pack(">HHHH", *ports, 8 + len(payload), 0)
    pseudo = source.packed + target.packed + struct.pack(">HH", UDP, 8 + len(payload))
    return head[:6] + struct.pack(">H", checksum(pseudo + head + payload) or 0xFFFF) + payload


def ip(source: Address, target: Address, protocol: int, body: bytes, *, number: int = 0, fragment: int = 0) -> bytes:
    """A packet; `fragment` is the IPv4 field of flags and offset."""
    if source.version == 6:
        return struct.pack(">IHBB", 6 << 28, len(body), protocol, 64) + source.packed + target.packed + body
    head = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(body), number, fragment, 64, protocol, 0)
    head += source.packed + target.packed
    return head[:10] + struct.pack(">H", checksum(head)) + head[12:] + body


def vxlan(vni: int, macs: tuple[str, str], inner: bytes) -> bytes:
    """RFC 7348, 5; `macs` are destination and source of the inner frame, which carries IPv4."""
    frame = b"".join(bytes.fromhex(mac.replace(":", "")) for mac in macs) + b"\x08\0" + inner
    return struct.pack(">II", 0x08 << 24, vni << 8) + frame


def _whole(source: Address, target: Address, body: bytes) -> list[bytes]:
    return [ip(source, target, UDP, body)]


def _cut(source: Address, target: Address, body: bytes, at: int) -> list[bytes]:
    """Two fragments; the second has no ports."""
    number = next(_numbers)
    if source.version == 4:
        return [
            ip(source, target, UDP, body[:at], number=number, fragment=0x2000),
            ip(source, target, UDP, body[at:], number=number, fragment=at >> 3),
        ]
    heads = (struct.pack(">BBHI", UDP, 0, flags, number) for flags in (_MORE, at))
    return [
        ip(source, target, _FRAGMENT, head + part) for head, part in zip(heads, (body[:at], body[at:]), strict=True)
    ]


def _last_alone(source: Address, target: Address, body: bytes) -> list[bytes]:
    return _cut(source, target, body, 64)[1:]


def _backwards(source: Address, target: Address, body: bytes) -> list[bytes]:
    return _cut(source, target, body, 64)[::-1]


def _behind_options(source: Address, target: Address, body: bytes) -> list[bytes]:
    """A header of destination options (RFC 8200, 4.6) before that of UDP; a router alert (RFC 2113) in IPv4."""
    if source.version == 6:
        return [ip(source, target, _OPTIONS, bytes((UDP, 0, 1, 4, 0, 0, 0, 0)) + body)]
    options = b"\x94\x04\0\0"
    head = struct.pack(">BBHHHBBH", 0x46, 0, 24 + len(body), 0, 0, 64, UDP, 0) + source.packed + target.packed + options
    return [head[:10] + struct.pack(">H", checksum(head)) + head[12:] + body]


def _atomic(source: Address, target: Address, body: bytes) -> list[bytes]:
    """A fragment that is the whole (RFC 6946)."""
    if source.version == 4:
        return _whole(source, target, body)
    return [ip(source, target, _FRAGMENT, struct.pack(">BBHI", UDP, 0, 0, next(_numbers)) + body)]


def _nested(source: Address, target: Address, body: bytes) -> list[bytes]:
    """Fragments within fragments: what is put together the first time has no ports either."""
    if source.version == 4:
        return _cut(source, target, body, 8)
    found = []
    for packet in _cut(source, target, body, 64):
        outer = struct.pack(">BBHI", _FRAGMENT, 0, 0, next(_numbers))
        found.append(ip(source, target, _FRAGMENT, outer + packet[40:]))
    return found


Shape = Callable[[Address, Address, bytes], list[bytes]]
PASSING: dict[str, Shape] = {
    "whole": _whole,
    "cut": lambda source, target, body: _cut(source, target, body, 64),
    "cut behind the ports": lambda source, target, body: _cut(source, target, body, 8),
    "backwards": _backwards,
    "behind options": _behind_options,
    "atomic": _atomic,
}
"""What arrives, of a datagram that may pass."""
SHAPES: dict[str, Shape] = {**PASSING, "last alone": _last_alone, "nested": _nested}


def send(descriptor: int, packets: Sequence[bytes], target: str) -> None:
    """From a namespace, by a raw socket that takes the whole packet (raw(7)); what is refused there is passed over."""
    family = socket.AF_INET if ip_address(target).version == 4 else socket.AF_INET6
    with inside(descriptor):
        raw = socket.socket(family, socket.SOCK_RAW, socket.IPPROTO_RAW)
    with raw:
        for packet in packets:
            raw.sendto(packet, (target, 0))


class Wire:
    """What came in by a link: the labels of the packets, and the packets."""

    def __init__(self, sniffer: socket.socket) -> None:
        self._sniffer = sniffer
        self.seen: dict[str, list[bytes]] = {}

    def look(self) -> dict[str, list[bytes]]:
        while True:
            try:
                frame, (_, _, kind, *_) = self._sniffer.recvfrom(65536)
            except BlockingIOError:
                return self.seen
            if kind != socket.PACKET_OUTGOING and (found := _LABEL.search(frame)):
                self.seen.setdefault(found[1].decode(), []).append(frame)

    def until_seen(self, name: str) -> dict[str, list[bytes]]:
        """All that was seen before this one, and it."""
        assert until(lambda: name in self.look()), f"{name} never came; seen: {sorted(self.seen)}"
        return self.seen


@contextmanager
def wire(descriptor: int, link: str) -> Iterator[Wire]:
    """What comes in by the link from now on."""
    everything = 0x0003
    with inside(descriptor):
        sniffer = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(everything))
    with sniffer:
        sniffer.bind((link, everything))
        sniffer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
        sniffer.setblocking(False)
        yield Wire(sniffer)
