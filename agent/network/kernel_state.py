"""What the kernel's routing, neighbour and forwarding tables should hold, and the way there from what they hold."""

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import TypeVar

from agent.network.attachment import Attachment, host_neighbours, host_routes
from agent.network.names import LOCAL_POOL6
from agent.network.netlink.messages import (
    AF_INET,
    AF_INET6,
    ENTRY_MARK,
    ENTRY_MASK,
    Forwarding,
    Message,
    Neighbour,
    Network,
    Route,
    Rule,
    add_forwarding,
    add_neighbour,
    add_route,
    add_rule,
    delete_forwarding,
    delete_neighbour,
    delete_route,
    delete_rule,
)
from agent.network.tables import Tables
from agent.network.underlay import next_hop

_ANYWHERE, _ANYWHERE6 = IPv4Network("0.0.0.0/0"), IPv6Network("::/0")
_RULES = 21_352
"""Priority of our first routing rule: after the table of local addresses, before the main one."""


@dataclass(frozen=True)
class KernelState:
    """Entries of ours, of the whole namespace."""

    routes: frozenset[Route] = frozenset()
    neighbours: frozenset[Neighbour] = frozenset()
    forwarding: frozenset[Forwarding] = frozenset()
    rules: frozenset[Rule] = frozenset()


def kernel_state(
    tables: Tables, attachments: Collection[Attachment], overlay: int, local_pool: IPv4Network, *, ipv6: bool
) -> KernelState:
    """What follows from the planner's word and the node's own tasks.

    Each remote *node* has one forwarding entry and a neighbour entry for each family; each remote address one route,
    whose next hop is the node's underlay address, or its own one inside the overlay, taken as on the overlay's link.
    Addresses of our subnets that nobody has are unreachable, so that nothing leaks to the underlay.

    Args:
        overlay: index of the VXLAN device.
        ipv6: whether the kernel takes it; else nothing of it is left, whatever tables and tasks have.
    """
    routes = {
        Route(ip_network(address), overlay, next_hop(via, address.version)) for address, via in tables.routes.items()
    }
    routes |= {Route(prefix, 0) for subnet in tables.subnets.values() for prefix in subnet.prefixes}
    routes.update(Route(prefix, 0) for prefix in ((local_pool, LOCAL_POOL6) if ipv6 else (local_pool,)))
    neighbours = {
        Neighbour(overlay, hop, mac)
        for address, mac in tables.peers.items()
        for hop in {next_hop(address, version) for version in ((4, 6) if ipv6 else (4,))}
    }
    for attachment in attachments:
        routes.update(host_routes(attachment))
        neighbours.update(host_neighbours(attachment))
    forwarding = {Forwarding(overlay, mac, address) for address, mac in tables.peers.items()}
    for peer, mark in tables.entries.items():
        routes.add(Route(_ANYWHERE, overlay, next_hop(peer, 4), table=mark))
        if ipv6:
            routes.add(Route(_ANYWHERE6, overlay, next_hop(peer, 6), table=mark))
    rules = frozenset(
        rule for family in ((AF_INET, AF_INET6) if ipv6 else (AF_INET,)) for rule in _entry_rules(tables, family)
    )
    state = KernelState(frozenset(routes), frozenset(neighbours), frozenset(forwarding), rules)
    return state if ipv6 else only_ipv4(state)


def only_ipv4(state: KernelState) -> KernelState:
    """What is left on a node whose kernel takes nothing of IPv6; forwarding entries are of the underlay's family."""
    return replace(
        state,
        routes=frozenset(route for route in state.routes if route.destination.version == 4),
        neighbours=frozenset(entry for entry in state.neighbours if entry.address.version == 4),
        rules=frozenset(rule for rule in state.rules if rule.family == AF_INET),
    )


def _entry_rules(tables: Tables, family: int) -> Iterator[Rule]:
    """Packets without such a mark, which are nearly all, pass one rule, however many nodes there are."""
    if not tables.has_entries:  # any rule at all makes the kernel look up each packet's route the long way
        return
    yield Rule(_RULES, ENTRY_MARK, ENTRY_MASK, skip_to=_RULES + 2, family=family)
    for mark in tables.entries.values():
        yield Rule(_RULES + 1, mark, 0xFFFFFFFF, table=mark, family=family)
    yield Rule(_RULES + 2, family=family)


def plan(present: KernelState, wanted: KernelState) -> list[Message]:
    """The requests between two states: what others need is added first and removed last. Empty when nothing differs."""
    return [*additions(present, wanted), *removals(present, wanted)]


def additions(present: KernelState, wanted: KernelState) -> list[Message]:
    """The first part of the plan: afterwards both what is present and what is wanted is reached."""
    return [
        *_added(present.forwarding, wanted.forwarding, add_forwarding),
        *_added(present.neighbours, wanted.neighbours, add_neighbour),
        *_added(present.routes, wanted.routes, add_route),
        *_added(present.rules, wanted.rules, add_rule),
    ]


def removals(present: KernelState, wanted: KernelState) -> list[Message]:
    """The rest of it."""
    return [
        *_removed(present.rules, wanted.rules, delete_rule, lambda rule: rule),
        *_removed(present.routes, wanted.routes, delete_route, _place),
        *_removed(present.neighbours, wanted.neighbours, delete_neighbour, lambda entry: (entry.link, entry.address)),
        *_removed(present.forwarding, wanted.forwarding, delete_forwarding, lambda entry: (entry.link, entry.mac)),
    ]


def _place(route: Route) -> tuple[int, Network, int]:
    """Of a route among the others: of one to a link, of an unreachable and of a silent one each has its own."""
    return route.table, route.destination, min(route.link, 1)


Entry = TypeVar("Entry", Route, Rule, Neighbour, Forwarding)


def _added(
    present: frozenset[Entry], wanted: frozenset[Entry], message: Callable[[Entry], Message]
) -> Iterator[Message]:
    return map(message, wanted - present)


def _removed(
    present: frozenset[Entry],
    wanted: frozenset[Entry],
    message: Callable[[Entry], Message],
    key: Callable[[Entry], object],
) -> Iterable[Message]:
    """An entry whose place another one takes is not removed: the kernel replaced it when that one was added."""
    surplus = present - wanted
    if not surplus:
        return []
    taken = {key(entry) for entry in wanted - present}
    return [message(entry) for entry in surplus if key(entry) not in taken]
