"""Frontends and their slots as elements of our nftables table."""

from collections.abc import Mapping

from agent.network.balancing.frontends import Frontend, Kind, Services
from agent.network.balancing.slots import SIZES, Slots

Spread = Mapping[Frontend, Slots]
"""Slots by frontend; none of one without backends."""

BALANCE_SETS = {
    "virtuals": "type ipv4_addr;",  # virtual addresses, with and without backends
    "mesh_ports": "type inet_proto . inet_service;",  # ports of every node, with and without backends
    "mesh_targets": "type ipv4_addr . inet_proto . inet_service;",  # where other nodes may lead clients to
}
_BODIES = {
    Kind.VIRTUAL: "typeof ip daddr . numgen random mod {size} : ip daddr;",
    Kind.MESH: "typeof meta l4proto . th dport . numgen random mod {size} : ip daddr . th dport;",
    Kind.MESH_AT: "typeof meta l4proto . ip daddr . th dport . numgen random mod {size} : ip daddr . th dport;",
}
_KEYS = {
    Kind.VIRTUAL: "ip daddr",
    Kind.MESH: "meta l4proto . th dport",
    Kind.MESH_AT: "meta l4proto . ip daddr . th dport",
}
BALANCE_MAPS = {f"{kind.value}_{size}": body.format(size=size) for kind, body in _BODIES.items() for size in SIZES}
"""Of IPv4. One map for each number of slots, since the number is in the rule."""


def balance_rules(kind: Kind) -> tuple[str, ...]:
    """One rule for each number of slots: a frontend is in the map of its own number alone."""
    key = _KEYS[kind]
    return tuple(f"dnat ip to {key} . numgen random mod {size} map @{kind.value}_{size}" for size in SIZES)


def slot_elements(spread: Spread) -> dict[str, frozenset[str]]:
    """By map: an element for each slot."""
    found: dict[str, set[str]] = {}
    for frontend, slots in spread.items():
        if slots.targets:
            into = found.setdefault(f"{frontend.kind.value}_{slots.size}", set())
            into.update(f"{frontend.key} . {slot} : {target}" for slot, target in slots.targets.items())
    return {name: frozenset(values) for name, values in found.items()}


def service_elements(services: Services) -> dict[str, frozenset[str]]:
    """What tells frontends from other destinations, and what this node's tasks may be asked by others."""
    return {
        "virtuals": _keys(services, Kind.VIRTUAL),
        "virtuals6": _keys(services, Kind.VIRTUAL6),
        "mesh_ports": _keys(services, Kind.MESH),
        "mesh_ports6": _keys(services, Kind.MESH6),
        "mesh_targets": services.targets,
        "mesh_targets6": services.targets6,
    }


def _keys(services: Services, kind: Kind) -> frozenset[str]:
    return frozenset(frontend.key for frontend in services.backends if frontend.kind is kind)
