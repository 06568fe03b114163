"""Our messages to WireGuard as pyroute2 reads them, and what the kernel would answer as we read it."""

import struct
from collections.abc import Iterator, Sequence
from ipaddress import ip_address, ip_network
from typing import Any

from pyroute2.netlink.generic.wireguard import wgmsg

from agent.network.netlink import wireguard
from agent.network.netlink.connection import Connection, Reply
from agent.network.netlink.rtnetlink import Message, attribute, nest, u32
from agent.network.netlink.wireguard import TunnelPeer

FAMILY = 37
KEY, OTHER = bytes(range(32)), bytes(range(32, 64))


def read(message: Message) -> Any:
    """pyroute2's reading of a whole message."""
    assert message.kind == FAMILY
    found = wgmsg(struct.pack("=IHHII", 16 + len(message.body), message.kind, 1, 1, 0) + message.body)
    found.decode()
    return found


def test_a_device_gets_its_key_and_port() -> None:
    found = read(wireguard.set_device(FAMILY, 5, KEY, 51831))
    assert found["cmd"] == 1
    assert found.get_attr("WGDEVICE_A_IFINDEX") == 5
    assert found.get_attr("WGDEVICE_A_LISTEN_PORT") == 51831


def test_a_peer_with_addresses_of_both_families() -> None:
    allowed = frozenset(map(ip_network, ("10.0.0.5/32", "fd00::5/128")))
    (message,) = wireguard.add_peer(FAMILY, 5, TunnelPeer(KEY, (ip_address("192.0.2.7"), 51830), allowed, 25))
    (peer,) = read(message).get_attr("WGDEVICE_A_PEERS")
    assert peer.get_attr("WGPEER_A_PERSISTENT_KEEPALIVE_INTERVAL") == 25
    endpoint = peer.get_attr("WGPEER_A_ENDPOINT")
    assert (endpoint["addr"], endpoint["port"]) == ("192.0.2.7", 51830)
    assert {each["addr"] for each in peer.get_attr("WGPEER_A_ALLOWEDIPS")} == {"10.0.0.5/32", "fd00::5/128"}


def test_an_endpoint_of_ipv6() -> None:
    (message,) = wireguard.add_peer(FAMILY, 5, TunnelPeer(KEY, (ip_address("2001:db8::7"), 51830), frozenset()))
    (peer,) = read(message).get_attr("WGDEVICE_A_PEERS")
    endpoint = peer.get_attr("WGPEER_A_ENDPOINT")
    assert (endpoint["addr"], endpoint["port"]) == ("2001:db8::7", 51830)


def test_a_peer_is_removed() -> None:
    (peer,) = read(wireguard.remove_peer(FAMILY, 5, KEY)).get_attr("WGDEVICE_A_PEERS")
    assert peer.get_attr("WGPEER_A_FLAGS") == 1


def test_many_addresses_are_several_messages() -> None:
    network = ip_network("10.0.0.0/18")
    allowed = frozenset(ip_network(address) for address in network)
    sent = list(wireguard.add_peer(FAMILY, 5, TunnelPeer(KEY, None, allowed)))
    assert len(sent) > 10
    assert max(len(message.body) for message in sent) < 1 << 16
    parts = [read(message).get_attr("WGDEVICE_A_PEERS")[0].get_attr("WGPEER_A_ALLOWEDIPS") for message in sent]
    assert {each["addr"] for part in parts for each in part} == set(map(str, allowed))


class Answers(Connection):
    """Hands out what a kernel would answer."""

    def __init__(self, *bodies: bytes) -> None:
        self._bodies = bodies

    def dump(self, kind: int, body: bytes) -> list[Reply]:
        return list(self._replied(kind, body))

    def _replied(self, kind: int, body: bytes) -> Iterator[Reply]:
        assert kind == FAMILY
        assert body.endswith(u32(1, 5))
        for each in self._bodies:
            yield Reply(kind, 1, struct.pack("=BBH", 0, 1, 0) + each)


def listed(key: bytes, addresses: Sequence[str], *more: bytes) -> bytes:
    items = [
        nest(0, attribute(1, struct.pack("=H", 2)), attribute(2, ip_address(each).packed), attribute(3, b"\x20"))
        for each in addresses
    ]
    return nest(0, attribute(1, key), *more, nest(9, *items))


def test_a_device_is_read_whole_from_several_answers() -> None:
    times = attribute(6, struct.pack("=qq", 1_700_000_000, 5)), attribute(7, struct.pack("=Q", 1234))
    endpoint = attribute(4, struct.pack("=H", 2) + struct.pack(">H", 51830) + ip_address("192.0.2.7").packed + bytes(8))
    first = attribute(3, b"s" * 32) + attribute(4, OTHER) + attribute(6, struct.pack("=H", 51831))
    found = wireguard.device(
        Answers(
            first + nest(8, listed(KEY, ["10.0.0.1"], endpoint, attribute(5, struct.pack("=H", 25)), *times)),
            nest(8, listed(KEY, ["10.0.0.2"]), listed(OTHER, [])),
        ),
        FAMILY,
        5,
    )
    assert (found.key, found.port) == (OTHER, 51831)
    assert b"s" * 32 not in repr(found).encode(), "the private key"
    state = found.peers[KEY]
    assert (state.handshake, state.received) == (1_700_000_000, 1234)
    allowed = frozenset(map(ip_network, ("10.0.0.1/32", "10.0.0.2/32")))
    assert state.peer == TunnelPeer(KEY, (ip_address("192.0.2.7"), 51830), allowed, 25)
    assert found.peers[OTHER].handshake == 0
