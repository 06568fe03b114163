"""Ranges of addresses against the standard library's networks: what is free, what overlaps, how a network widens."""

from collections.abc import Sequence
from ipaddress import IPv4Network
from itertools import islice

from hypothesis import given
from hypothesis import strategies as st

from manager.planner.allocator.network_subnets import widen
from manager.planner.draft import Draft
from manager.planner.index.resource_index import ResourceIndex
from manager.planner.index.slot_index import SlotIndex
from manager.planner.ipam.address_ranges import RangeSet, free_ranges, parse_range, parse_range6, range_of
from manager.store import kinds
from shoal.api.v1.meta_pb2 import Meta
from shoal.api.v1.network_pb2 import NetworkAllocation
from shoal.api.v1.node_pb2 import Node, NodeDescription, NodeStatus
from tests.fakes.planner_world import World

BASE = 10 << 24
POOL = IPv4Network("10.0.0.0/8")


def networks(places: Sequence[tuple[int, int]], base: int = BASE) -> list[IPv4Network]:
    return [IPv4Network((base + place, length), strict=False) for place, length in places]


@given(st.lists(st.tuples(st.integers(0, 2**13), st.integers(20, 30)), max_size=20), st.integers(20, 26))
def test_free_subnets_are_the_lowest_that_are_disjoint(places: list[tuple[int, int]], length: int) -> None:
    taken = networks(places)
    every = POOL.subnets(new_prefix=length)
    lowest = [*islice((each for each in every if not any(map(each.overlaps, taken))), 5)]
    found = free_ranges(range_of(POOL), map(range_of, taken), 1 << 32 - length)
    assert [*islice(found, 5)] == [*map(range_of, lowest)]


def test_a_pool_can_be_used_up_and_what_lies_beside_it_does_not_matter() -> None:
    whole = range_of(IPv4Network("10.0.0.0/22"))
    beside = [range_of(IPv4Network(each)) for each in ("9.0.0.0/8", "10.0.4.0/22", "0.0.0.0/32", "224.0.0.0/4")]
    assert len([*free_ranges(whole, beside, 256)]) == 4
    assert [*free_ranges(whole, [*beside, range_of(IPv4Network("10.0.0.0/8"))], 256)] == []


@given(
    st.lists(st.tuples(st.integers(0, 2**10), st.integers(22, 32)), max_size=12),
    st.tuples(st.integers(0, 2**10), st.integers(22, 32)),
)
def test_ranges_meet_where_networks_overlap(places: list[tuple[int, int]], other: tuple[int, int]) -> None:
    taken, (desired,) = networks(places), networks([other])
    spans = RangeSet(map(range_of, taken))
    assert spans.overlaps(range_of(desired)) == any(map(desired.overlaps, taken))
    if not spans.overlaps(range_of(desired)):
        spans.add(range_of(desired))
        assert spans.overlaps(range_of(desired))
        assert [*spans] == sorted(spans)


def test_what_is_no_prefix_has_no_span() -> None:
    assert parse_range("10.0.0.1/24") is parse_range("fd00::/8") is parse_range("") is parse_range("nonsense") is None
    assert parse_range6("fd00::1/8") is parse_range6("10.0.0.0/8") is parse_range6("") is None
    assert parse_range("10.0.0.9") == (BASE + 9, BASE + 9)


@given(
    st.integers(16, 24),
    st.lists(st.tuples(st.integers(0, 2**16 - 1), st.integers(22, 28), st.booleans()), max_size=8),
)
def test_a_subnet_widens_within_its_block_and_over_nobody(length: int, places: list[tuple[int, int, bool]]) -> None:
    block, subnet = IPv4Network(("10.7.0.0", length)), IPv4Network("10.7.0.0/24")
    others: list[IPv4Network] = []
    cluster = World()
    cluster.put(kinds.ALLOCATION, "own", NetworkAllocation(network_id="own", subnet=str(subnet), supernet=str(block)))
    for at, (place, prefix, is_host) in enumerate(places):
        (other,) = networks([(place, prefix)], int(block.network_address))
        if other.overlaps(subnet):
            continue
        others.append(other)
        if is_host:
            cluster.put(kinds.NODE, f"n{at}", Node(meta=Meta(id=f"n{at}")))
            about = NodeDescription(host_prefixes=[str(other)])
            cluster.put(kinds.NODE_STATUS, f"n{at}", NodeStatus(node_id=f"n{at}", description=about))
        else:
            cluster.put(kinds.ALLOCATION, f"o{at}", NetworkAllocation(network_id=f"o{at}", subnet=str(other)))
    view = cluster.tables
    draft = Draft(view=view, resources=ResourceIndex.of(view), slot_index=SlotIndex(), now_ms=0, new_id=lambda: "none")
    while widen(draft, "own"):
        allocation = draft.allocation("own")
        assert allocation is not None
        wider = IPv4Network(allocation.subnet)
        assert wider == subnet.supernet() and wider.subnet_of(block)
        assert not any(map(wider.overlaps, others))
        subnet = wider
    assert subnet == block or any(map(subnet.supernet().overlaps, others))


def test_a_subnet_without_a_block_stays_as_it_is() -> None:
    cluster = World()
    cluster.put(kinds.ALLOCATION, "own", NetworkAllocation(network_id="own", subnet="10.7.0.0/24"))
    view = cluster.tables
    draft = Draft(view=view, resources=ResourceIndex.of(view), slot_index=SlotIndex(), now_ms=0, new_id=lambda: "none")
    assert not widen(draft, "own")
    assert not widen(draft, "unknown")


def test_two_networks_that_share_a_pass_widen_past_each_other() -> None:
    """Both grow at once, each within a block that reaches over the other's: only one of them can have the rest."""
    cluster = World()
    for name, subnet in (("a", "10.7.0.0/24"), ("b", "10.7.2.0/24")):
        cluster.put(kinds.ALLOCATION, name, NetworkAllocation(network_id=name, subnet=subnet, supernet="10.7.0.0/22"))
    view = cluster.tables
    draft = Draft(view=view, resources=ResourceIndex.of(view), slot_index=SlotIndex(), now_ms=0, new_id=lambda: "none")
    assert widen(draft, "a") and widen(draft, "b")
    assert not widen(draft, "a") and not widen(draft, "b")
