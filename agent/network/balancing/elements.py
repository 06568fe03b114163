"""Frontends and their slots as elements of our nftables table."""

from collections.abc import Mapping

from agent.network.balancing.frontends import Frontend, Kind, Services
from agent.network.balancing.slots import SIZES, assign

Slots = Mapping[Frontend, tuple[str, ...]]
"""The target of each slot, by frontend; none of one without backends."""

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


def rebalanced(old: Slots, services: Services) -> Slots:
    """The slots after a change of backends; the very same tuple where nothing moves."""
    found: dict[Frontend, tuple[str, ...]] = {}
    for frontend, backends in services.backends.items():
        before = old.get(frontend, ())
        after = before if backends == frozenset(before) else assign(before, backends)
        found[frontend] = after
    return found


def slot_elements(slots: Slots) -> dict[str, frozenset[str]]:
    """By map: an element for each slot."""
    found: dict[str, set[str]] = {}
    for frontend, targets in slots.items():
        if targets:
            into = found.setdefault(f"{frontend.kind.value}_{len(targets)}", set())
            into.update(f"{frontend.key} . {slot} : {target}" for slot, target in enumerate(targets))
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


def changed(old: Slots, new: Slots) -> tuple[Slots, Slots]:
    """Both without the frontends whose slots are the same, so that the work of a change is that of what changes."""
    return (
        {frontend: slots for frontend, slots in old.items() if new.get(frontend) is not slots},
        {frontend: slots for frontend, slots in new.items() if old.get(frontend) is not slots},
    )
