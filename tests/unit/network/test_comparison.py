"""What comparisons find is told whole, in an order that does not change, and no part keeps others back."""

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network, IPv6Network

import pytest

from agent.network.attachments.attachment import Attachment
from agent.network.datapath.comparison import MAX_REFUSALS, Comparison, Findings
from agent.network.datapath.link_repair import LinkMtus, link_differences
from agent.network.ip_types import AF_INET, AF_INET6
from agent.network.kernel_state import KernelState, only_ipv4
from agent.network.netlink.rtnetlink import KernelRoute, Neighbour, RoutingRule
from agent.network.netlink.rtnetlink_dump import Link
from agent.network.well_known import ATTACHED_GROUP
from shoal.errors import Unavailable

ATTACHMENT = Attachment("task000000001", 7, "02:00:00:00:00:01", {"": IPv4Address("172.30.0.1")}, None, ())
LINK = Link(7, ATTACHMENT.name, True, 1450, "02:53:68:6f:61:6c", ATTACHMENT.alias, group=ATTACHED_GROUP)


def test_a_part_that_fails_keeps_no_other_back() -> None:
    found = Comparison()

    def refused(found: Comparison) -> None:
        found.repaired.append("first")
        raise Unavailable("no such device")

    def unreadable(found: Comparison) -> None:
        raise PermissionError("read-only")

    for part in (refused, unreadable, lambda found: found.repaired.append("second")):
        found.attempt(part)
    assert (found.repaired, found.refused) == (["first", "second"], ["no such device", "read-only"])


def test_refusals_are_told_in_order_and_few_of_many() -> None:
    findings = Findings()
    findings.set_refusals(["b", "a"])
    findings.set_refusals(["c", "a"], keep_earlier=True)
    assert findings.refusals() == ["a", "b", "c"]
    findings.set_refusals(f"route {number:02}" for number in range(50))
    assert len(findings.refusals()) == MAX_REFUSALS + 1
    assert findings.refusals()[:2] == ["route 00", "route 01"]
    findings.set_refusals([])
    assert findings.refusals() == []


def test_repairs_are_taken_once() -> None:
    findings = Findings()
    findings.add_repairs(["a"])
    findings.add_repairs(["b"])
    assert (findings.drain_repairs(), findings.drain_repairs()) == (["a", "b"], [])


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({}, ""),
        ({"up": False}, "was down"),
        ({"master": 9}, "was attached to a bridge or bond"),
        ({"mtu": 600, "up": False}, "was down, had MTU 600 instead of 1450"),
        ({"alias": "mine"}, "had its alias changed"),
        ({"name": "veth1"}, "was renamed to veth1"),
        ({"group": 1}, "was moved to group 0x1"),
    ],
)
def test_what_was_changed_of_a_link(change: dict[str, object], text: str) -> None:
    assert link_differences(replace(LINK, **change), ATTACHMENT, 1450) == text  # type: ignore[arg-type]  # any field


def test_a_link_keeps_the_size_that_was_seen_first() -> None:
    sizes = LinkMtus()
    assert sizes.expected([LINK]) == {7: 1450}
    assert sizes.expected([replace(LINK, mtu=600)]) == {7: 1450}
    assert sizes.expected([]) == {}
    assert sizes.expected([replace(LINK, mtu=1400)]) == {7: 1400}


def test_what_is_left_without_ipv6() -> None:
    route, route6 = KernelRoute(IPv4Network("10.0.0.0/24"), 0), KernelRoute(IPv6Network("fd01::/64"), 0)
    peer, peer6 = (Neighbour(3, prefix.network_address, "02:00:00:00:00:01") for prefix in (route[0], route6[0]))
    rule, rule6 = (RoutingRule(9, family=family) for family in (AF_INET, AF_INET6))
    both = KernelState(frozenset({route, route6}), frozenset({peer, peer6}), rules=frozenset({rule, rule6}))
    assert only_ipv4(both) == KernelState(frozenset({route}), frozenset({peer}), rules=frozenset({rule}))
