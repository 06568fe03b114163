"""What else a container could send to its host, its neighbours and its host's LAN.

Bounds: no packet from an address that is not the container's arrives anywhere; 2,000 forged ARP requests add no entry
to the host's neighbours; no connection to an agent's or a manager's port comes about, on any host.
"""

import errno
import socket
import struct
from collections.abc import Iterator
from contextlib import suppress
from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest

from agent.network.well_known import link_name
from tests.hostile.packets.crafted import UDP, Address, checksum, ip, label, send, udp, wire
from tests.hostile.packets.laboratory import Laboratory, laboratory
from tests.integration.network.netns_hosts import inside, run

ICMP, ICMP6 = 1, 58


@pytest.fixture(scope="module")
def lab() -> Iterator[Laboratory]:
    yield from laboratory(4)


OF_OTHERS = ("10.99.1.2", "10.99.2.4", "172.31.0.1", "172.31.0.2", "169.254.1.1", "127.0.0.1", "0.0.0.0", "192.0.2.1")
OF_OTHERS6 = ("fd99:1::2", "fd53:686f:616c::1", "::1", "fe80::1", "fd31::9")


@pytest.mark.parametrize("forged", [*OF_OTHERS, *OF_OTHERS6])
def test_a_container_sends_from_its_own_addresses_alone(lab: Laboratory, forged: str) -> None:
    """Neither of another container nor of a node, of the gateway or of nobody; to a container and to the LAN."""
    source = ip_address(forged)
    neighbour: Address = IPv4Address("10.99.1.2") if source.version == 4 else IPv6Address("fd99:1::2")
    with inside(lab.neighbour):
        receiver = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    with receiver, wire(lab.hosts.switch, "u1") as sniffed:
        receiver.bind(("", 6000))
        receiver.settimeout(30)
        for target in (neighbour, lab.client) if source.version == 4 else (neighbour,):
            with suppress(OSError):  # the container's own kernel may refuse it
                send(
                    lab.attacker,
                    [ip(source, target, UDP, udp(source, target, (1, 6000), label("forged")))],
                    str(target),
                )
        true = lab.address(1) if source.version == 4 else IPv6Address("fd99:1::1")
        send(lab.attacker, [ip(true, neighbour, UDP, udp(true, neighbour, (1, 6000), label("true")))], str(neighbour))
        assert receiver.recv(100) == label("true")
        assert "forged" not in sniffed.until_seen("true")


def test_forged_arp_does_not_fill_the_hosts_neighbours(lab: Laboratory) -> None:
    gateway = IPv4Address("169.254.1.1").packed
    with inside(lab.attacker), socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as raw:
        raw.bind(("eth0", 0))
        own = raw.getsockname()[4]
        for number in range(2000):
            head = struct.pack(">HHBBH", 1, 0x0800, 6, 4, 1) + own + (0xC0A80000 + number).to_bytes(4, "big")
            raw.send(b"\xff" * 6 + own + b"\x08\x06" + head + bytes(6) + gateway)
    assert "192.168." not in run(lab.hosts.one.descriptor, "ip", "neigh", "show", "nud", "all")


def _icmp(kind: int, body: bytes) -> bytes:
    head = struct.pack(">BBH", kind, 1, 0) + body
    return head[:2] + struct.pack(">H", checksum(head)) + head[4:]


def _icmp6(source: Address, target: Address, kind: int, body: bytes) -> bytes:
    head = struct.pack(">BBH", kind, 0, 0) + body
    pseudo = source.packed + target.packed + struct.pack(">II", len(head), ICMP6)
    return head[:2] + struct.pack(">H", checksum(pseudo + head)) + head[4:]


def _packet_of_routers(source: Address, target: Address, kind: int, body: bytes) -> bytes:
    """As ICMPv6 of neighbour discovery must be: with a hop limit of 255."""
    made = ip(source, target, ICMP6, _icmp6(source, target, kind, body))
    return made[:7] + b"\xff" + made[8:]


def test_no_neighbour_or_host_believes_a_router_that_is_a_container(lab: Laboratory) -> None:
    """Redirects of ICMP; advertisements of routers and of neighbours, and redirects, of ICMPv6."""

    def routes() -> list[str]:
        inner, host = (lab.neighbour, "fd99:1::99"), (lab.hosts.one.descriptor, "10.99.1.1")
        asked = [run(where, "ip", "route", "get", to) for where, to in (inner, host)]
        asked += [run(lab.neighbour, "ip", "route", "get", to) for to in ("10.99.1.1", "192.0.2.1")]
        asked += [run(where, "ip", "-6", "route", "show") for where in (lab.neighbour, lab.hosts.one.descriptor)]
        return [text.split("cache expires")[0] for text in asked]

    before = routes()
    own, neighbour = IPv4Address("10.99.1.1"), IPv4Address("10.99.1.2")
    host = lab.underlay(lab.hosts.one)
    for target in (neighbour, host):
        quoted = ip(target, IPv4Address("192.0.2.1"), UDP, udp(target, IPv4Address("192.0.2.1"), (1, 2), b""))
        send(lab.attacker, [ip(own, target, ICMP, _icmp(5, own.packed + quoted))], str(target))
    own6, neighbour6 = IPv6Address("fd99:1::1"), IPv6Address("fd99:1::2")
    router = struct.pack(">BBHII", 64, 0, 1800, 0, 0) + bytes((3, 4, 64, 0xC0)) + b"\0\0\x0e\x10" * 2 + bytes(4)
    router += IPv6Address("2001:db8::").packed
    for source in (own6, IPv6Address("fe80::1")):
        for target6 in (neighbour6, IPv6Address("ff02::1"), IPv6Address("fd53:686f:616c::1")):
            advertised = [
                _packet_of_routers(source, target6, 134, router),
                _packet_of_routers(source, target6, 136, b"\xe0\0\0\0" + own6.packed),
                _packet_of_routers(source, target6, 137, bytes(4) + own6.packed + IPv6Address("2001:db8::1").packed),
            ]
            for each in advertised:
                with suppress(OSError):
                    send(lab.attacker, [each], str(target6) + ("%eth0" if target6.is_multicast else ""))
    with wire(lab.hosts.switch, "u1") as sniffed:
        send(lab.attacker, [ip(own, neighbour, UDP, udp(own, neighbour, (1, 6000), label("fence")))], str(neighbour))
        sniffed.until_seen("fence")
    assert routes() == before


def test_what_is_sent_to_all_reaches_no_program_of_the_host(lab: Laboratory) -> None:
    with inside(lab.hosts.one.descriptor):
        receiver = socket.socket(type=socket.SOCK_DGRAM)
        index = socket.if_nametoindex(link_name(lab.attackers_task))
    with receiver:
        receiver.bind(("", 5353))
        joined = socket.inet_aton("224.0.0.251") + struct.pack("=4si", bytes(4), index)
        receiver.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, joined)
        receiver.settimeout(30)
        own, host = IPv4Address("10.99.1.1"), lab.underlay(lab.hosts.one)
        for target in (IPv4Address("224.0.0.251"), IPv4Address("255.255.255.255"), host):
            packet = ip(own, target, UDP, udp(own, target, (1, 5353), label(f"to {target}")))
            with inside(lab.attacker), socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW) as raw:
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
                raw.sendto(packet, (str(target), 0))
        assert receiver.recv(100) == label(f"to {host}")


@pytest.mark.parametrize("port", [7440, 7441, 7442])
def test_the_agents_and_managers_ports_are_closed_to_containers(lab: Laboratory, port: int) -> None:
    """Of their own node, of another one, and of any other host; refused at once, not by silence."""
    one, two = lab.hosts.one, lab.hosts.two
    for descriptor, address in (
        (one.descriptor, one.address),
        (two.descriptor, two.address),
        (lab.hosts.client, "172.31.0.100"),
    ):
        with inside(descriptor), socket.create_server(("", port)), socket.create_server(("", 7443)):
            assert _connected(lab.attacker, address, port) == errno.ECONNREFUSED
            assert _connected(lab.attacker, address, 7443) == 0
            assert _connected(two.descriptor if descriptor != two.descriptor else one.descriptor, address, port) == 0


def test_within_a_network_those_ports_are_the_containers_own(lab: Laboratory) -> None:
    with inside(lab.neighbour), socket.create_server(("", 7441)):
        assert _connected(lab.attacker, "10.99.1.2", 7441) == 0


def _connected(descriptor: int, address: str, port: int) -> int:
    """The error's number, 0 for none."""
    with inside(descriptor):
        client = socket.socket()
    with client:
        client.settimeout(30)
        return client.connect_ex((address, port))
