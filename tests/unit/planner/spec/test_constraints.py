"""The grammar of constraints, and the address arithmetic."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from manager.planner.ipam.ipv4_addresses import AddressUsage, AllocatableRange, ipv4_number, ipv4_text
from manager.planner.spec.constraints import parse
from shoal.api.v1.meta_pb2 import Meta, Platform
from shoal.api.v1.network_pb2 import NetworkSpec
from shoal.api.v1.node_pb2 import Node, NodeDescription, NodeSpec, NodeStatus
from shoal.errors import InvalidInput

NODE = Node(meta=Meta(id="abc"), spec=NodeSpec(labels={"disk": "ssd", "a.b/c": "x y", "slots": "12"}))
STATUS = NodeStatus(
    description=NodeDescription(
        hostname="h1",
        address="10.1.2.3",
        platform=Platform(os="linux", architecture="amd64"),
        engine_labels={"gpu": "yes"},
    )
)


@pytest.mark.parametrize(
    ("text", "admitted"),
    [
        ("node.id == abc", True),
        ("node.id==abd", False),
        ("  node.hostname != h1 ", False),
        ("node.platform.os == linux", True),
        ("node.platform.arch != amd64", False),
        ("node.labels.disk == ssd", True),
        ("node.labels.disk == SSD", False),
        ("node.labels.a.b/c == x y", True),
        ("node.labels.none == x", False),
        ("node.labels.none != x", True),
        ("engine.labels.gpu == yes", True),
        ("node.role == worker", True),
        ("node.role==manager", False),
        ("node.role != manager", True),
        ("node.role in manager, worker", True),
        ("node.ip == 10.1.2.3", True),
        ("node.ip == 10.1.0.0/16", True),
        ("node.ip != 10.1.0.0/16", False),
        ("node.hostname in h1, h2", True),
        ("node.hostname in (h2,h3)", False),
        ("node.hostname not-in h2, h3", True),
        ("node.hostname not in (h1)", False),
        ("node.labels.none in a, b", False),
        ("node.labels.none not-in a, b", True),
        ("node.ip in 10.2.0.0/16, 10.1.2.0/24", True),
        ("node.ip not-in 10.2.0.0/16, 10.1.2.0/24", False),
        ("node.labels.slots > 3", True),
        ("node.labels.slots > 12.5", False),
        ("node.labels.slots >= 12", True),
        ("node.labels.slots < 1e3", True),
        ("node.labels.disk < 3", False),
        ("node.labels.none > 0", False),
        ("node.hostname =~ ^h[0-9]$", True),
        ("node.hostname =~ /^h[2-9]/", False),
        ("node.hostname !~ x", True),
        ("node.labels.none =~ .*", False),
        ("node.labels.none !~ .*", True),
        ("node.labels.disk=~s{2}d", True),
    ],
)
def test_what_a_constraint_admits(text: str, admitted: bool) -> None:
    constraint = parse(text)
    assert constraint.matches(NODE, STATUS) is admitted
    assert parse(str(constraint)) == constraint


@pytest.mark.parametrize(
    "text",
    [
        "",
        "node.id",
        "node.id = x",
        "node.id ==",
        "== x",
        "node.colour == red",
        "node.labels. == x",
        "node.ip == x",
        "node.role == leader",
        "node.role in worker, leader",
        "node.role > 3",
        "node.id > 3",
        "node.labels.a > b",
        "node.labels.a > nan",
        "node.labels.a in ,b",
        "node.labels.a in",
        "node.labels.a inside b",
        "node.labels.a =~ (b",
        "node.labels.a =~ b{2,1}",
        "node.labels.a =~ (?:b)",
        "node.labels.a =~ (a{900}){900}",
        "node.ip in 10.0.0.0/8, x",
        "node.labels.a == " + "b" * 1000,
        "node.labels.a b == c",
    ],
)
def test_other_texts_are_refused(text: str) -> None:
    with pytest.raises(InvalidInput):
        parse(text)


def test_an_unknown_key_is_told_with_those_that_are_known() -> None:
    with pytest.raises(InvalidInput, match=r"unknown key 'node.colour'; must be one of node.id, node.hostname"):
        parse("node.colour == red")


@given(st.integers(0, 2**32 - 1))
def test_numbers_and_dotted_quads(address: int) -> None:
    assert ipv4_text(address) == str(ipaddress.IPv4Address(address))
    assert ipv4_number(ipv4_text(address)) == address


@given(st.integers(24, 30), st.lists(st.tuples(st.booleans(), st.integers(0, 300)), max_size=400))
def test_a_pool_gives_out_every_address_once(length: int, steps: list[tuple[bool, int]]) -> None:
    network = ipaddress.IPv4Network(("10.3.0.0", length))
    subnet = AllocatableRange.parse(str(network))
    usable = {int(address) for address in network.hosts()} - {int(network.network_address) + 1}
    pool = AddressUsage()
    for at_ms, (allocate, which) in enumerate(steps):
        if allocate:
            free = next(pool.free(subnet), None)
            assert (free is None) == (pool.used == usable)
            if free is not None:
                assert free in usable - pool.used
                pool.add(free, at_ms)
        elif pool.used:
            pool.used.discard(sorted(pool.used)[which % len(pool.used)])


def test_what_a_network_keeps_back_is_not_given_out() -> None:
    spec = NetworkSpec(gateway="10.7.0.9", ip_range="10.7.0.8/29", aux_addresses={"printer": "10.7.0.10"})
    subnet, pool, found = AllocatableRange.of("10.7.0.0/24", spec, [ipv4_number("10.7.0.11")]), AddressUsage(), []
    for free in pool.free(subnet):
        found.append(ipv4_text(free))
        pool.add(free, len(found))
    assert found == [f"10.7.0.{last}" for last in (8, 12, 13, 14, 15)]
    assert subnet.size == len(found)


def test_a_node_beside_a_manager_has_that_role() -> None:
    beside = NodeStatus(colocated_manager_id="m1")
    assert parse("node.role == manager").matches(NODE, beside)
    assert not parse("node.role == worker").matches(NODE, beside)
