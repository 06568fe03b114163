"""Frontends and their slots as elements of our nftables table."""

from collections.abc import Mapping

from agent.network.balancing.buckets import BUCKET_COUNTS, Buckets
from agent.network.cluster_state.service_map import Frontend, FrontendKind, ServiceMap

BucketsByFrontend = Mapping[Frontend, Buckets]
"""Slots by frontend; none of one without backends."""

BALANCE_SETS = {
    "virtuals": "type ipv4_addr;",  # virtual addresses, with and without backends
    "mesh_ports": "type inet_proto . inet_service;",  # ports of every node, with and without backends
    "mesh_targets": "type ipv4_addr . inet_proto . inet_service;",  # where other nodes may lead clients to
}
_BODIES = {
    FrontendKind.VIRTUAL: "typeof ip daddr . numgen random mod {size} : ip daddr;",
    FrontendKind.MESH: "typeof meta l4proto . th dport . numgen random mod {size} : ip daddr . th dport;",
    FrontendKind.MESH_AT: "typeof meta l4proto . ip daddr . th dport . numgen random mod {size} : ip daddr . th dport;",
}
_KEYS = {
    FrontendKind.VIRTUAL: "ip daddr",
    FrontendKind.MESH: "meta l4proto . th dport",
    FrontendKind.MESH_AT: "meta l4proto . ip daddr . th dport",
}
BALANCE_MAPS = {
    f"{kind.value}_{size}": body.format(size=size) for kind, body in _BODIES.items() for size in BUCKET_COUNTS
}
"""Of IPv4. One map for each number of slots, since the number is in the rule."""


def balance_rules(kind: FrontendKind) -> tuple[str, ...]:
    """One rule for each number of slots: a frontend is in the map of its own number alone."""
    key = _KEYS[kind]
    return tuple(f"dnat ip to {key} . numgen random mod {size} map @{kind.value}_{size}" for size in BUCKET_COUNTS)


def bucket_elements(buckets_of: BucketsByFrontend) -> dict[str, frozenset[str]]:
    """By map: an element for each slot."""
    found: dict[str, set[str]] = {}
    for frontend, buckets in buckets_of.items():
        if buckets.targets:
            into = found.setdefault(f"{frontend.kind.value}_{buckets.size}", set())
            into.update(f"{frontend.key} . {bucket} : {target}" for bucket, target in buckets.targets.items())
    return {name: frozenset(values) for name, values in found.items()}


def service_elements(services: ServiceMap) -> dict[str, frozenset[str]]:
    """What tells frontends from other destinations, and what this node's tasks may be asked by others."""
    return {
        "virtuals": _keys(services, FrontendKind.VIRTUAL),
        "virtuals6": _keys(services, FrontendKind.VIRTUAL6),
        "mesh_ports": _keys(services, FrontendKind.MESH),
        "mesh_ports6": _keys(services, FrontendKind.MESH6),
        "mesh_targets": services.targets,
        "mesh_targets6": services.targets6,
    }


def _keys(services: ServiceMap, kind: FrontendKind) -> frozenset[str]:
    return frozenset(frontend.key for frontend in services.backends if frontend.kind is kind)
