"""Our messages to XFRM as a kernel and iproute2 read them. That ESP itself works is proven in a virtual machine."""

import struct
from collections.abc import Iterator
from ipaddress import ip_address

import pytest

from agent.network.ip_types import AF_INET, AF_INET6
from agent.network.netlink import xfrm
from agent.network.netlink.connection import Connection, Reply
from agent.network.netlink.xfrm import IN, OUT, Policy, SecurityAssociation, StateUsage
from shoal.errors import Unavailable
from tests.integration.network.netns_hosts import inside, run

POLICIES = {Policy(direction, family, 51832, 0x53680000) for direction in (IN, OUT) for family in (AF_INET, AF_INET6)}
STATES = [
    SecurityAssociation(ip_address("192.0.2.1"), ip_address("192.0.2.2"), 0x12345678, bytes(range(36)), 0x53680001),
    SecurityAssociation(ip_address("2001:db8::1"), ip_address("2001:db8::2"), 256, bytes(range(36)), 0x53680000),
]


@pytest.fixture
def connection(home: int) -> Iterator[Connection]:
    with inside(home):
        made = Connection(xfrm.XFRM)
    yield made
    made.close()


def test_policies_stay_the_same_however_often_they_are_applied(connection: Connection, home: int) -> None:
    for _ in range(2):
        connection.apply(map(xfrm.add_policy, POLICIES))
        assert sorted(map(repr, xfrm.policies(connection))) == sorted(map(repr, POLICIES))
    shown = " ".join(run(home, "ip", "xfrm", "policy").split())
    for nets, ends in (
        ("src 0.0.0.0/0 dst 0.0.0.0/0", "src 0.0.0.0 dst 0.0.0.0"),
        ("src ::/0 dst ::/0", "src :: dst ::"),
    ):
        for way in ("in", "out"):
            policy = f"{nets} proto udp dport 51832 dir {way} priority 1 ptype main"
            assert f"{policy} tmpl {ends} proto esp reqid {0x53680000} mode transport" in shown
    for _ in range(2):
        connection.apply(map(xfrm.delete_policy, POLICIES))
        assert xfrm.policies(connection) == []


def test_policies_of_others_are_not_ours(connection: Connection, home: int) -> None:
    wide = "dir out src 0.0.0.0/0 dst 0.0.0.0/0 proto udp dport 51832"
    for other in (
        f"{wide} action block",
        "dir out src 10.0.0.0/8 dst 0.0.0.0/0 proto udp dport 51832 tmpl proto esp reqid 7 mode transport",
        "dir out src 0.0.0.0/0 dst 0.0.0.0/0 tmpl src 10.0.0.1 dst 10.0.0.2 proto esp reqid 7 mode tunnel",
    ):
        run(home, "ip", "xfrm", "policy", "add", *other.split())
    assert xfrm.policies(connection) == []


def test_associations_are_understood_as_far_as_the_kernel_has_the_algorithm(connection: Connection, home: int) -> None:
    for state in STATES:
        try:
            connection.apply([xfrm.add_state(state)])
        except Unavailable as error:
            # What is malformed is refused as an invalid argument, before the algorithm is looked for.
            assert "AEAD algorithm not found" in str(error) or "Protocol not supported" in str(error)
        else:
            shown = " ".join(run(home, "ip", "xfrm", "state").split())
            assert f"spi {state.spi:#010x} reqid {state.reqid} mode transport" in shown
            assert StateUsage(state, 0, 0) in xfrm.states(connection)
            with pytest.raises(Unavailable, match="File exists"):
                connection.apply([xfrm.add_state(state)])
        for _ in range(2):
            connection.apply([xfrm.delete_state(state)])
    assert xfrm.states(connection) == []


class RecordedAnswer(Connection):
    """Returns an association as it was set, in the form in which a kernel lists it."""

    def __init__(self, body: bytes) -> None:
        self._body = body

    def dump(self, kind: int, body: bytes) -> list[Reply]:
        assert (kind, body) == (0x12, b"")
        return [Reply(0x10, 1, self._body)]


@pytest.mark.parametrize("state", STATES)
def test_an_association_is_read_as_it_was_written(state: SecurityAssociation) -> None:
    body = bytearray(xfrm.add_state(state).body)
    struct.pack_into("=QQ", body, 160, 9000, 6)
    assert xfrm.states(RecordedAnswer(bytes(body))) == [StateUsage(state, 9000, 6)]
    assert state.key.hex() not in repr(state)
