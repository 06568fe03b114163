"""Frontends and their buckets as elements of our nftables table."""

from collections.abc import Collection, Mapping

from agent.network.balancing.buckets import BUCKET_COUNTS, Buckets
from agent.network.cluster_state.service_map import Frontend, FrontendKind

BucketsByFrontend = Mapping[Frontend, Buckets]
"""Buckets by frontend; none for one without backends."""

BALANCE_SETS = {
    "virtual_ips": "type ipv4_addr;",  # virtual addresses, with and without backends
    "mesh_ports": "type inet_proto . inet_service;",  # ports of every node, with and without backends
    "mesh_backends": "type ipv4_addr . inet_proto . inet_service;",  # where other nodes may forward clients to
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
"""IPv4 maps, one for each number of buckets, since that number is in the rule."""


def balance_rules(kind: FrontendKind) -> tuple[str, ...]:
    """One rule for each number of buckets: a frontend is only in the map of its own number."""
    key = _KEYS[kind]
    return tuple(f"dnat ip to {key} . numgen random mod {size} map @{kind.value}_{size}" for size in BUCKET_COUNTS)


def bucket_elements(buckets_of: BucketsByFrontend) -> dict[str, frozenset[str]]:
    """An element for each bucket, by map."""
    found: dict[str, set[str]] = {}
    for frontend, buckets in buckets_of.items():
        if buckets.targets:
            into = found.setdefault(f"{frontend.kind.value}_{buckets.size}", set())
            into.update(f"{frontend.key} . {bucket} : {target}" for bucket, target in buckets.targets.items())
    return {name: frozenset(values) for name, values in found.items()}


def service_elements(
    frontends: Collection[Frontend], targets: frozenset[str], targets6: frozenset[str]
) -> dict[str, frozenset[str]]:
    """Elements that tell frontends from other destinations, and that let other nodes forward to this node's tasks."""
    return {
        "virtual_ips": _keys(frontends, FrontendKind.VIRTUAL),
        "virtual_ips6": _keys(frontends, FrontendKind.VIRTUAL6),
        "mesh_ports": _keys(frontends, FrontendKind.MESH),
        "mesh_ports6": _keys(frontends, FrontendKind.MESH6),
        "mesh_backends": targets,
        "mesh_backends6": targets6,
    }


def _keys(frontends: Collection[Frontend], kind: FrontendKind) -> frozenset[str]:
    return frozenset(frontend.key for frontend in frontends if frontend.kind is kind)
