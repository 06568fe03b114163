"""What makes the IPv6 part of a network's spec valid, and what stands in its way. Pure: yields every fault."""

from collections.abc import Iterator, Mapping
from ipaddress import IPv6Address, IPv6Network

from manager.store.tables import View
from shoal.api.v1.network_pb2 import Network, NetworkAllocation, NetworkSpec
from shoal.errors import Fault

_PREFIX_LEAST, _PREFIX_MOST = 48, 125
# RFC 4291 section 2.4, RFC 4193: what hosts may have. The last one is our own, inside of the overlay.
_USABLE = tuple(map(IPv6Network, ("2000::/3", "fc00::/7")))
_OURS = IPv6Network("fd53:686f:616c::/48")
_RESERVED_MOST = 64
_NAMED = 5


def check_ipv6(spec: NetworkSpec) -> Iterator[Fault]:
    """Every fault that the spec shows by itself."""
    given = ("subnet6", "gateway6", "ip_range6", "reserved6")
    if not spec.ipv6:
        yield from (
            Fault(name, "is for a network with IPv6: set ipv6 too (--ipv6)") for name in given if getattr(spec, name)
        )
        return
    if spec.subnet6:
        yield from _check_subnet(spec.subnet6)
    if len(spec.reserved6) > _RESERVED_MOST:
        yield Fault("reserved6", f"has {len(spec.reserved6)} addresses; at most {_RESERVED_MOST} are allowed")
        return
    inner = {"gateway6": spec.gateway6, "ip_range6": spec.ip_range6}
    inner |= {f"reserved6.{name}": address for name, address in spec.reserved6.items()}
    for path, text in inner.items():
        if text:
            yield from _check_inner(path, text, spec.subnet6)


def _check_subnet(text: str) -> Iterator[Fault]:
    try:
        subnet = IPv6Network(text)
    except ValueError as error:
        yield Fault("subnet6", f'"{text[:80]}" is not an IPv6 subnet such as fd12:3456:789a:1::/64: {error}')
        return
    if not _PREFIX_LEAST <= subnet.prefixlen <= _PREFIX_MOST:
        yield Fault("subnet6", f"{subnet} must be between /{_PREFIX_LEAST} and /{_PREFIX_MOST}")
    if not any(map(subnet.subnet_of, _USABLE)):
        yield Fault("subnet6", f"{subnet} is not for hosts: choose one of fd00::/8 (RFC 4193), or of your own 2000::/3")
    elif subnet.overlaps(_OURS):
        yield Fault("subnet6", f"{subnet} overlaps {_OURS}, by which nodes reach each other inside of the overlay")


def _check_inner(path: str, text: str, subnet: str) -> Iterator[Fault]:
    if not subnet:
        yield Fault(path, "needs an IPv6 subnet that it lies in")
        return
    try:
        inner = IPv6Network(text) if path == "ip_range6" else IPv6Network(IPv6Address(text))
    except ValueError as error:
        what = "range such as fd12:3456:789a:1::1000/116" if path == "ip_range6" else "address"
        yield Fault(path, f'"{text[:80]}" is not an IPv6 {what}: {error}')
        return
    try:
        outer = IPv6Network(subnet)
    except ValueError:
        return  # the subnet's own fault is told already
    if not inner.subnet_of(outer):
        yield Fault(path, f"{text} is not in the subnet {outer}")
    elif path == "gateway6" and inner[0] == outer[0]:
        yield Fault(path, f"{text} is the first address of {outer}, which is any router's (RFC 4291, 2.6.1)")


def overlap6(
    subnet: str, networks: Mapping[str, Network], allocations: Mapping[str, NetworkAllocation]
) -> Iterator[Fault]:
    """The networks that already use a part of a valid `subnet`, by their allocation or their wish."""
    wanted = IPv6Network(subnet)
    for identifier, network in networks.items():
        allocation = allocations.get(identifier)
        taken = allocation.subnet6 if allocation is not None else network.spec.subnet6
        if taken and wanted.overlaps(IPv6Network(taken)):
            name = network.spec.name
            yield Fault("subnet6", f'{wanted} overlaps network "{name}" ({taken}); choose another or leave it out')


def overlap_with_hosts6(subnet: str, view: View) -> Iterator[Fault]:
    """What nodes use a part of a valid `subnet` for; one fault for each prefix, naming a node."""
    wanted = IPv6Network(subnet)
    told: set[IPv6Network] = set()
    for node_id, status in view.node_status.items():
        about = status.description
        uses = [(text, "a route") for text in about.host_prefixes] + [(about.address, "the address")]
        for prefix, use in ((_read(text), use) for text, use in uses):
            if prefix is not None and prefix not in told and wanted.overlaps(prefix):
                told.add(prefix)
                where = f"{use} of node {about.hostname or node_id}"
                yield Fault("subnet6", f"{wanted} overlaps {prefix}, {where}; choose another or leave it out")


def _read(text: str) -> IPv6Network | None:
    """An agent's word may be IPv4, or nothing."""
    try:
        return IPv6Network(text)
    except ValueError:
        return None


def lacks_ipv6(spec: NetworkSpec, view: View) -> Iterator[Fault]:
    """A network with IPv6 that no node can have. One that some can have is theirs alone."""
    if spec.ipv6 and view.nodes and not any(_known(view).values()):
        reasons = nodes_without_ipv6(view)
        if reasons:
            yield Fault("ipv6", f"no node can give containers IPv6: {reasons}")


def _known(view: View) -> Mapping[str, bool]:
    """Whether each node that was heard of has it."""
    return {node_id: status.description.ipv6 for node_id, status in view.node_status.items() if node_id in view.nodes}


def nodes_without_ipv6(view: View) -> str:
    """Some names of nodes whose containers cannot have IPv6, and why; empty when all can."""
    lacking = [view.node_status[node_id].description for node_id, has in _known(view).items() if not has]
    found = sorted(
        f"on {about.hostname}, {about.without_ipv6 or 'the agent is of an older version'}"
        for about in lacking
        if about.hostname
    )
    return "; ".join(found[:_NAMED]) + ("; …" if len(found) > _NAMED else "")
