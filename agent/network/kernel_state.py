"""The desired routes, neighbours, FDB entries and rules, and the plan from the actual to the desired state."""

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import TypeVar

from agent.network.attachments.attachment import Attachment, host_neighbours, host_routes
from agent.network.cluster_state.overlay_tables import OverlayTables
from agent.network.host.underlay import next_hop
from agent.network.ip_types import AF_INET, AF_INET6, Network
from agent.network.netlink.rtnetlink import (
    INGRESS_MARK,
    INGRESS_MASK,
    FdbEntry,
    KernelRoute,
    Message,
    Neighbour,
    RoutingRule,
    add_fdb_entry,
    add_neighbour,
    add_route,
    add_rule,
    delete_fdb_entry,
    delete_neighbour,
    delete_route,
    delete_rule,
)
from agent.network.well_known import NODE_POOL6

_ANYWHERE, _ANYWHERE6 = IPv4Network("0.0.0.0/0"), IPv6Network("::/0")
_FIRST_RULE_PRIORITY = 21_352
"""Priority of our first routing rule: after the local table, before the main one."""


@dataclass(frozen=True)
class KernelState:
    """Our entries in the network namespace."""

    routes: frozenset[KernelRoute] = frozenset()
    neighbours: frozenset[Neighbour] = frozenset()
    fdb: frozenset[FdbEntry] = frozenset()
    rules: frozenset[RoutingRule] = frozenset()


def desired_state(
    tables: OverlayTables,
    attachments: Collection[Attachment],
    overlay: int,
    local_pool: IPv4Network,
    *,
    ipv6: bool,
    has_ingress: bool | None = None,
) -> KernelState:
    """The entries that follow from the assigned records and from the node's own tasks.

    Each remote *node* has one FDB entry and a neighbour entry per family; each remote address one route, whose next hop
    is the node's underlay address, or its address inside the overlay, as on-link of the overlay device. Unassigned
    addresses of our subnets are unreachable, so that nothing leaks to the underlay.

    Args:
        overlay: index of the VXLAN device.
        ipv6: whether the kernel accepts IPv6; otherwise its entries are left out, whatever tables and tasks have.
        has_ingress: whether the whole tables, of which these are a part, have ingress marks; None where they are whole.
    """
    routes = {
        KernelRoute(ip_network(address), overlay, next_hop(via, address.version))
        for address, via in tables.routes.items()
    }
    routes |= {KernelRoute(prefix, 0) for subnet in tables.subnets.values() for prefix in subnet.prefixes}
    routes.update(KernelRoute(prefix, 0) for prefix in ((local_pool, NODE_POOL6) if ipv6 else (local_pool,)))
    neighbours = {
        Neighbour(overlay, hop, mac)
        for address, mac in tables.peers.items()
        for hop in {next_hop(address, version) for version in ((4, 6) if ipv6 else (4,))}
    }
    for attachment in attachments:
        routes.update(host_routes(attachment))
        neighbours.update(host_neighbours(attachment))
    forwarding = {FdbEntry(overlay, mac, address) for address, mac in tables.peers.items()}
    for peer, (mark, _) in tables.ingress_marks.items():
        routes.add(KernelRoute(_ANYWHERE, overlay, next_hop(peer, 4), table=mark))
        if ipv6:
            routes.add(KernelRoute(_ANYWHERE6, overlay, next_hop(peer, 6), table=mark))
    rules = _ingress_rules(tables, ipv6, bool(tables.ingress_marks) if has_ingress is None else has_ingress)
    state = KernelState(frozenset(routes), frozenset(neighbours), frozenset(forwarding), rules)
    return state if ipv6 else only_ipv4(state)


def only_ipv4(state: KernelState) -> KernelState:
    """The part for a node whose kernel accepts no IPv6; FDB entries are of the underlay's family."""
    return replace(
        state,
        routes=frozenset(route for route in state.routes if route.destination.version == 4),
        neighbours=frozenset(entry for entry in state.neighbours if entry.address.version == 4),
        rules=frozenset(rule for rule in state.rules if rule.family == AF_INET),
    )


def _ingress_rules(tables: OverlayTables, ipv6: bool, has_ingress: bool) -> frozenset[RoutingRule]:
    if not has_ingress:  # any rule at all makes the kernel take the slow path of route look-ups
        return frozenset()
    return frozenset(
        rule for family in ((AF_INET, AF_INET6) if ipv6 else (AF_INET,)) for rule in _rules(tables, family)
    )


def _rules(tables: OverlayTables, family: int) -> Iterator[RoutingRule]:
    """Packets without an ingress mark, nearly all, pass one rule, however many nodes there are."""
    yield RoutingRule(_FIRST_RULE_PRIORITY, INGRESS_MARK, INGRESS_MASK, skip_to=_FIRST_RULE_PRIORITY + 2, family=family)
    for mark, _ in tables.ingress_marks.values():
        yield RoutingRule(_FIRST_RULE_PRIORITY + 1, mark, 0xFFFFFFFF, table=mark, family=family)
    yield RoutingRule(_FIRST_RULE_PRIORITY + 2, family=family)


def plan(actual: KernelState, desired: KernelState) -> list[Message]:
    """The requests between two states: entries that others depend on are added first and removed last. Empty when
    nothing differs."""
    return [*additions(actual, desired), *removals(actual, desired)]


def additions(actual: KernelState, desired: KernelState) -> list[Message]:
    """The first part of the plan: afterwards the kernel holds both the actual and the desired entries."""
    return [
        *_added(actual.fdb, desired.fdb, add_fdb_entry),
        *_added(actual.neighbours, desired.neighbours, add_neighbour),
        *_added(actual.routes, desired.routes, add_route),
        *_added(actual.rules, desired.rules, add_rule),
    ]


def removals(actual: KernelState, desired: KernelState) -> list[Message]:
    """The second part of the plan."""
    return [
        *_removed(actual.rules, desired.rules, delete_rule, lambda rule: rule),
        *_removed(actual.routes, desired.routes, delete_route, _route_key),
        *_removed(actual.neighbours, desired.neighbours, delete_neighbour, lambda entry: (entry.link, entry.address)),
        *_removed(actual.fdb, desired.fdb, delete_fdb_entry, lambda entry: (entry.link, entry.mac)),
    ]


def _route_key(route: KernelRoute) -> tuple[int, Network, int]:
    """The identity of a route: a link route, an unreachable and a blackhole one to the same prefix are three routes."""
    return route.table, route.destination, min(route.link, 1)


Entry = TypeVar("Entry", KernelRoute, RoutingRule, Neighbour, FdbEntry)


def _added(
    actual: frozenset[Entry], desired: frozenset[Entry], message: Callable[[Entry], Message]
) -> Iterator[Message]:
    return map(message, desired - actual)


def _removed(
    actual: frozenset[Entry],
    desired: frozenset[Entry],
    message: Callable[[Entry], Message],
    key: Callable[[Entry], object],
) -> Iterable[Message]:
    """An entry that another one replaces is not removed: the kernel replaced it when that one was added."""
    surplus = actual - desired
    if not surplus:
        return []
    replaced = {key(entry) for entry in desired - actual}
    return [message(entry) for entry in surplus if key(entry) not in replaced]
