"""Validation of the IPv6 part of network specs, and conflicts with networks and hosts. Pure: yields every fault."""

from collections.abc import Iterator, Mapping
from ipaddress import IPv6Address, IPv6Network

from manager.store.tables import View
from manager.validation.text_rules import join_names
from shoal.api.v1.network_pb2 import Network, NetworkAllocation, NetworkSpec
from shoal.errors import Fault

_MIN_PREFIX, _MAX_PREFIX = 48, 125
# RFC 4291 section 2.4, RFC 4193: prefixes that hosts may have. The overlay itself uses one inside of the last one.
_USABLE = tuple(map(IPv6Network, ("2000::/3", "fc00::/7")))
_OVERLAY_PREFIX = IPv6Network("fd53:686f:616c::/48")
_MAX_RESERVED = 64


def check_ipv6(spec: NetworkSpec) -> Iterator[Fault]:
    """Every fault of the spec alone."""
    given = ("subnet6", "gateway6", "ip_range6", "aux_addresses6")
    if not spec.ipv6:
        yield from (Fault(name, "requires IPv6: set ipv6 too (--ipv6)") for name in given if getattr(spec, name))
        return
    if spec.subnet6:
        yield from _check_subnet(spec.subnet6)
    if len(spec.aux_addresses6) > _MAX_RESERVED:
        yield Fault("aux_addresses6", f"has {len(spec.aux_addresses6)} addresses; the maximum is {_MAX_RESERVED}")
        return
    inner = {"gateway6": spec.gateway6, "ip_range6": spec.ip_range6}
    inner |= {f"aux_addresses6.{name}": address for name, address in spec.aux_addresses6.items()}
    for path, text in inner.items():
        if text:
            yield from _check_inner(path, text, spec.subnet6)


def _check_subnet(text: str) -> Iterator[Fault]:
    try:
        subnet = IPv6Network(text)
    except ValueError as error:
        yield Fault("subnet6", f'"{text[:80]}" must be an IPv6 subnet such as fd12:3456:789a:1::/64: {error}')
        return
    if not _MIN_PREFIX <= subnet.prefixlen <= _MAX_PREFIX:
        yield Fault("subnet6", f"{subnet} must have a prefix length between /{_MIN_PREFIX} and /{_MAX_PREFIX}")
    if not any(map(subnet.subnet_of, _USABLE)):
        yield Fault(
            "subnet6", f"{subnet} is not a unicast prefix; choose one in fd00::/8 (RFC 4193), or your own in 2000::/3"
        )
    elif subnet.overlaps(_OVERLAY_PREFIX):
        yield Fault(
            "subnet6",
            f"{subnet} overlaps {_OVERLAY_PREFIX}, which the overlay uses between nodes; choose another subnet",
        )


def _check_inner(path: str, text: str, subnet: str) -> Iterator[Fault]:
    if not subnet:
        yield Fault(path, "requires an IPv6 subnet that contains it")
        return
    try:
        inner = IPv6Network(text) if path == "ip_range6" else IPv6Network(IPv6Address(text))
    except ValueError as error:
        what = "range such as fd12:3456:789a:1::1000/116" if path == "ip_range6" else "address"
        yield Fault(path, f'"{text[:80]}" must be an IPv6 {what}: {error}')
        return
    try:
        outer = IPv6Network(subnet)
    except ValueError:
        return  # the fault of the subnet itself is reported elsewhere
    if not inner.subnet_of(outer):
        yield Fault(path, f"{text} must be in subnet {outer}")
    elif path == "gateway6" and inner[0] == outer[0]:
        yield Fault(
            path, f"{text} is the subnet-router anycast address of {outer} (RFC 4291, 2.6.1); choose another address"
        )


def overlap6(
    subnet: str, networks: Mapping[str, Network], allocations: Mapping[str, NetworkAllocation]
) -> Iterator[Fault]:
    """The networks that already use a part of a valid `subnet`, as allocated or as requested."""
    requested = IPv6Network(subnet)
    for identifier, network in networks.items():
        allocation = allocations.get(identifier)
        taken = allocation.subnet6 if allocation is not None else network.spec.subnet6
        if taken and requested.overlaps(IPv6Network(taken)):
            name = network.spec.name
            yield Fault(
                "subnet6", f'{requested} overlaps network "{name}" ({taken}); choose another subnet, or omit it'
            )


def overlap_with_hosts6(subnet: str, view: View) -> Iterator[Fault]:
    """Uses of a part of a valid `subnet` on nodes; one fault for each prefix, naming a node."""
    requested = IPv6Network(subnet)
    reported: set[IPv6Network] = set()
    for node_id, status in view.node_status.items():
        about = status.description
        uses = [(text, "a route") for text in about.host_prefixes] + [(about.address, "the address")]
        for prefix, use in ((_read(text), use) for text, use in uses):
            if prefix is not None and prefix not in reported and requested.overlaps(prefix):
                reported.add(prefix)
                where = f"{use} of node {about.hostname or node_id}"
                yield Fault("subnet6", f"{requested} overlaps {prefix}, {where}; choose another subnet, or omit it")


def _read(text: str) -> IPv6Network | None:
    """What an agent reports may be IPv4, or empty."""
    try:
        return IPv6Network(text)
    except ValueError:
        return None


def no_node_with_ipv6(spec: NetworkSpec, view: View) -> Iterator[Fault]:
    """A network with IPv6 that no node can have. If only some support it, its tasks run there."""
    if spec.ipv6 and view.nodes and not any(_support_by_node(view).values()):
        reasons = nodes_without_ipv6(view)
        if reasons:
            yield Fault("ipv6", f"no node supports IPv6 for containers: {reasons}")


def _support_by_node(view: View) -> Mapping[str, bool]:
    """Whether each node that has reported supports it."""
    return {node_id: status.description.ipv6 for node_id, status in view.node_status.items() if node_id in view.nodes}


def nodes_without_ipv6(view: View) -> str:
    """Some nodes whose containers cannot have IPv6, and why; empty when all can."""
    lacking = [view.node_status[node_id].description for node_id, has in _support_by_node(view).items() if not has]
    found = sorted(
        f"{about.hostname}: {about.ipv6_unavailable_reason or 'the agent is too old'}"
        for about in lacking
        if about.hostname
    )
    return join_names(found, "; ")
