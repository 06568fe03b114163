"""What the kernel's routing, neighbour and forwarding tables should hold, and the way there from what they hold."""

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Network
from typing import TypeVar

from agent.network.attachment import Attachment, host_neighbours, host_routes
from agent.network.netlink.messages import (
    ENTRY_MARK,
    ENTRY_MASK,
    Forwarding,
    Message,
    Neighbour,
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

_ANYWHERE = IPv4Network("0.0.0.0/0")
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
    tables: Tables, attachments: Collection[Attachment], overlay: int, local_pool: IPv4Network
) -> KernelState:
    """What follows from the planner's word and the node's own tasks.

    Each remote *node* has one neighbour and one forwarding entry; each remote address one route, whose next hop is the
    node's underlay address, taken as on the overlay's link. Addresses of our subnets that nobody has are
    unreachable, so that nothing leaks to the underlay.

    Args:
        overlay: index of the VXLAN device.
    """
    routes = {Route(IPv4Network(address), overlay, via) for address, via in tables.routes.items()}
    routes |= {Route(subnet.prefix, 0) for subnet in tables.subnets.values()}
    routes.add(Route(local_pool, 0))
    neighbours = {Neighbour(overlay, address, mac) for address, mac in tables.peers.items()}
    for attachment in attachments:
        routes.update(host_routes(attachment))
        neighbours.update(host_neighbours(attachment))
    forwarding = {Forwarding(overlay, mac, address) for address, mac in tables.peers.items()}
    routes |= {Route(_ANYWHERE, overlay, peer, table=mark) for peer, mark in tables.entries.items()}
    rules = frozenset(_entry_rules(tables))
    return KernelState(frozenset(routes), frozenset(neighbours), frozenset(forwarding), rules)


def _entry_rules(tables: Tables) -> Iterator[Rule]:
    """Packets without such a mark, which are nearly all, pass one rule, however many nodes there are."""
    yield Rule(_RULES, ENTRY_MARK, ENTRY_MASK, skip_to=_RULES + 2)
    for mark in tables.entries.values():
        yield Rule(_RULES + 1, mark, 0xFFFFFFFF, table=mark)
    yield Rule(_RULES + 2)


def plan(present: KernelState, wanted: KernelState) -> list[Message]:
    """The requests between two states: what others need is added first and removed last. Empty when nothing differs."""
    return [
        *_added(present.forwarding, wanted.forwarding, add_forwarding),
        *_added(present.neighbours, wanted.neighbours, add_neighbour),
        *_added(present.routes, wanted.routes, add_route),
        *_added(present.rules, wanted.rules, add_rule),
        *_removed(present.rules, wanted.rules, delete_rule, lambda rule: rule),
        *_removed(
            present.routes, wanted.routes, delete_route, lambda route: (route.table, route.destination, route.link == 0)
        ),
        *_removed(present.neighbours, wanted.neighbours, delete_neighbour, lambda entry: (entry.link, entry.address)),
        *_removed(present.forwarding, wanted.forwarding, delete_forwarding, lambda entry: (entry.link, entry.mac)),
    ]


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
