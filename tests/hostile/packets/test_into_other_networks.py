"""No container puts a packet into a network that it is not on, by the tunnels that carry networks between hosts.

Bound: of some hundred packets that a container sends to tunnels' ports and by tunnels' protocols, first or as answers,
whole or in fragments, none leaves its host, and none reaches a container of another network.
"""

import socket
from collections.abc import Iterator
from ipaddress import ip_address

import pytest

from tests.hostile.packets.crafted import (
    AH,
    ESP,
    GRE,
    IP6IP,
    IPIP,
    PASSING,
    SHAPES,
    UDP,
    Wire,
    ip,
    label,
    send,
    udp,
    wire,
)
from tests.hostile.packets.laboratory import INNER_PORT, MESH_PORT, PUBLISHED, Inbox, Laboratory, inbox, laboratory
from tests.integration.network.netns_hosts import inside, run, until

TUNNELS = {
    "VXLAN": 4789,
    "WireGuard": 51830,
    "WireGuard's next": 51831,
    "ESP's": 51832,
    "ESP's next": 51833,
    "NAT-T": 4500,
}
PROTOCOLS = {"GRE": GRE, "ESP": ESP, "AH": AH, "IPIP": IPIP, "IPv6 in IP": IP6IP, "OSPF": 89}
CONTROL = 7777


@pytest.fixture(scope="module", params=[4, 6], ids=["IPv4", "IPv6"])
def lab(request: pytest.FixtureRequest) -> Iterator[Laboratory]:
    yield from laboratory(request.param)


def fence(lab: Laboratory, sniffed: Wire, name: str = "fence") -> set[str]:
    """All that left host one before a datagram that may leave."""
    with lab.listening(lab.attacker, 0) as sender:
        sender.sendto(label(name), (str(lab.client), CONTROL))
    return set(sniffed.until_seen(name)) - {name}


def delivered(lab: Laboratory, mail: Inbox) -> set[str]:
    """What came to the victim before a datagram of its own network."""
    with inside(lab.insider):
        sender = socket.socket(type=socket.SOCK_DGRAM)
    with sender:
        sender.sendto(label("own"), ("10.99.2.3", INNER_PORT))
    assert until(lambda: "own" in mail.names())
    return mail.names() - {"own"}


def send_all_shapes(lab: Laboratory, name: str, ports: tuple[int, int]) -> None:
    """From the attacker to host two: VXLAN with a frame to the victim."""
    source, target = lab.address(1), lab.underlay(lab.hosts.two)
    for shape, made in SHAPES.items():
        body = udp(source, target, ports, lab.frame(f"{name} {shape}"))
        send(lab.attacker, made(source, target, body), str(target))


def test_the_shapes_pass_where_they_may(lab: Laboratory) -> None:
    """Else the other tests would prove nothing."""
    with wire(lab.hosts.switch, "u1") as sniffed:
        send_all_shapes(lab, "control", (PUBLISHED + 1, CONTROL))
        seen = fence(lab, sniffed)
    assert {f"control {shape}" for shape in PASSING} <= seen


def test_what_a_container_sends_to_a_tunnels_port_does_not_leave(lab: Laboratory) -> None:
    with wire(lab.hosts.switch, "u1") as sniffed, inbox(lab) as mail:
        for name, port in TUNNELS.items():
            send_all_shapes(lab, name, (PUBLISHED + 1, port))
        assert fence(lab, sniffed) == set()
        assert delivered(lab, mail) == set()


def test_a_large_datagram_that_the_kernel_cuts_does_not_leave_either(lab: Laboratory) -> None:
    with wire(lab.hosts.switch, "u1") as sniffed, lab.listening(lab.attacker, 0) as sender:
        for name, port in {**TUNNELS, "control": CONTROL}.items():
            sender.sendto(label(name) * 100, (lab.hosts.two.address, port))
        assert fence(lab, sniffed) == {"control"}


def test_an_answer_to_a_tunnels_port_does_not_leave(lab: Laboratory) -> None:
    """A client whose source port is a tunnel's asks a published port; what answers it would be taken for a tunnel's."""
    one, two = lab.underlay(lab.hosts.one), lab.underlay(lab.hosts.two)
    with (
        wire(lab.hosts.switch, "u1") as sniffed,
        inbox(lab) as mail,
        lab.listening(lab.attacker, PUBLISHED) as server,
    ):
        for name, port in {**TUNNELS, "control": CONTROL}.items():
            question = udp(two, one, (port, PUBLISHED), label("question"))
            send(lab.hosts.two.descriptor, [ip(two, one, UDP, question)], str(one))
            _, client = server.recvfrom(100)
            assert client[1] == port
            server.sendto(lab.frame(f"{name} answered"), client)
            server.sendto(label(f"{name} answered at length") * 60, client)
            send_all_shapes(lab, name, (PUBLISHED, port))
        seen = fence(lab, sniffed)
        assert {name for name in seen if not name.startswith("control")} == set()
        assert {"control answered", "control answered at length", "control cut"} <= seen
        assert delivered(lab, mail) == set()


def test_an_answer_that_goes_back_by_another_node_does_not_leave_there(lab: Laboratory) -> None:
    """Host one leads the client to host three, whose container answers by host one."""
    one, two = lab.underlay(lab.hosts.one), lab.underlay(lab.hosts.two)
    with (
        wire(lab.hosts.switch, "u1") as by_one,
        inbox(lab) as mail,
        lab.listening(lab.meshed, MESH_PORT) as server,
    ):
        for name, port in {"control": CONTROL, **TUNNELS}.items():
            question = udp(two, one, (port, MESH_PORT), label("question"))
            send(lab.hosts.two.descriptor, [ip(two, one, UDP, question)], str(one))
            _, client = server.recvfrom(100)
            assert client[1] == port
            server.sendto(lab.frame(f"{name} answered"), client)
            server.sendto(label(f"{name} at length") * 60, client)
        assert fence(lab, by_one) - {"question"} == {"control answered", "control at length"}
        assert delivered(lab, mail) == set()


def test_a_container_without_networks_sends_nothing_there_either(lab: Laboratory) -> None:
    own = lab.lonely.addresses if lab.version == 4 else lab.lonely.addresses6
    (source,), target = map(ip_address, own.values()), lab.underlay(lab.hosts.two)
    with wire(lab.hosts.switch, "u1") as sniffed:
        for name, port in {**TUNNELS, "control": CONTROL}.items():
            body = udp(source, target, (PUBLISHED, port), lab.frame(name))
            send(lab.lonely.netns_fd, [ip(source, target, UDP, body)], str(target))
        assert fence(lab, sniffed) == {"control"}


def test_no_tunnels_protocol_leaves(lab: Laboratory) -> None:
    source, target = lab.address(1), lab.underlay(lab.hosts.two)
    with wire(lab.hosts.switch, "u1") as sniffed:
        for name, protocol in PROTOCOLS.items():
            send(lab.attacker, [ip(source, target, protocol, label(name) * 2)], str(target))
        assert fence(lab, sniffed) == set()


def test_a_clients_port_is_never_a_tunnels_on_the_underlay(lab: Laboratory) -> None:
    """Address translation keeps a source port as long as nobody has it; but for these."""
    with wire(lab.hosts.switch, "u1") as sniffed:
        for name, port in TUNNELS.items():
            with lab.listening(lab.attacker, port) as sender:
                sender.sendto(label(name), (str(lab.client), CONTROL))
        fence(lab, sniffed)
        ends = {name: frame[34 if lab.version == 4 else 54 :][:2] for name, (frame, *_) in sniffed.seen.items()}
    assert set(TUNNELS) <= set(ends)
    assert not {int.from_bytes(port, "big") for port in ends.values()} & set(TUNNELS.values())


def test_a_tunnel_within_a_network_is_the_containers_own(lab: Laboratory) -> None:
    """Containers may speak VXLAN with each other; their hosts do not take it for their own."""
    target = lab.address(2)
    with inbox(lab) as mail, lab.listening(lab.neighbour, 4789) as receiver:
        with lab.listening(lab.attacker, 0) as sender:
            sender.sendto(lab.frame("inner"), (str(target), 4789))
        assert b"<<inner>>" in receiver.recv(1000)
        assert delivered(lab, mail) == set()


def test_the_containers_own_node_takes_no_tunnel_from_it(lab: Laboratory) -> None:
    """Neither at its address nor at that of a network's gateway; nor frames that would reach what is on the node."""
    before = received(lab)
    with lab.listening(lab.attacker, 0) as sender:
        for port in TUNNELS.values():
            for address in (lab.hosts.one.address, "169.254.1.1" if lab.version == 4 else "fd53:686f:616c::1"):
                sender.sendto(lab.frame("to own"), (address, port))
    with wire(lab.hosts.switch, "u1") as sniffed:
        fence(lab, sniffed)
    assert received(lab) == before


def received(lab: Laboratory) -> str:
    """Packets that the VXLAN device of host one took in."""
    return run(lab.hosts.one.descriptor, "cat", "/proc/net/dev").split("shoal-vx:")[1].split()[1]


def test_a_published_port_cannot_be_the_tunnels(lab: Laboratory) -> None:
    with inside(lab.hosts.one.descriptor):
        taken = socket.socket(lab.family, socket.SOCK_DGRAM)
    with taken, pytest.raises(OSError, match="in use"):
        taken.bind(("", 4789))
