"""Validation of network specs, and conflicts with other networks and hosts. Pure: yields every fault."""

import ipaddress
import re
from collections.abc import Iterable, Iterator, Mapping

from manager.store.tables import View
from manager.validation import bounds
from manager.validation.text_rules import check_engine_request, check_ipv4, check_labels, check_object_name, join_names
from shoal.api.v1.network_pb2 import Network, NetworkAllocation, NetworkSpec
from shoal.errors import Fault
from shoal.networks.network_modes import MODES, NODE_POOL
from shoal.networks.overlay_encryption import (
    OPTION,
    VALUES,
    can_encrypt,
    has_only_wireguard,
    is_encrypted,
    missing_feature,
)
from shoal.networks.published_ports import MESH_NETWORK

DRIVERS = ("overlay", "bridge")
# The smallest has room for the gateway and some tasks; the largest is what one forwarding table can hold.
MIN_PREFIX, MAX_PREFIX = 16, 29
# RFC 1122 section 3.2.1.3, RFC 5735: not addresses of hosts.
_UNUSABLE = tuple(
    ipaddress.IPv4Network(text) for text in ("0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/4", "240.0.0.0/4")
)
_MAX_RESERVED = 64
_BLANK_WITHIN = re.compile(r"(?<=[^ ]) (?=[^ ])")
"""A network's name may have blanks, as with Docker: it is no part of names in the DNS."""
BEING_REMOVED = "being removed, and will be gone once its last task has stopped"
"""Of a network that exists only because tasks on it are still stopping."""


def check_network(spec: NetworkSpec) -> Iterator[Fault]:
    """Every fault of the spec alone."""
    if spec.ByteSize() > bounds.SPEC_BYTES:
        yield Fault("", f"the spec is too large: {spec.ByteSize():,} bytes; the maximum is {bounds.SPEC_BYTES:,}")
        return
    in_stack = spec.stack if spec.name.startswith(f"{spec.stack}_") else ""
    yield from check_object_name("name", _BLANK_WITHIN.sub("_", spec.name), in_stack)
    if spec.name == MESH_NETWORK:
        yield Fault("name", f'"{MESH_NETWORK}" is reserved for the routing mesh; choose another name')
    if spec.name in MODES:
        yield Fault("name", f'"{spec.name}" is reserved for a network mode; choose another name')
    yield from check_labels("labels", spec.labels)
    yield from check_engine_request(spec.engine_request)
    if spec.driver not in ("", *DRIVERS):
        yield Fault("driver", f'"{spec.driver[:80]}" must be one of {", ".join(DRIVERS)}')
    yield from _check_options(spec)
    if spec.subnet:
        yield from _check_subnet("subnet", spec.subnet)
    yield from _check_addresses(spec)


def _check_options(spec: NetworkSpec) -> Iterator[Fault]:
    driver = spec.driver or DRIVERS[0]
    for name, value in sorted(spec.options.items()):
        path = f"options.{name[:80]}"
        if name != OPTION:
            yield Fault(path, f"is not supported by driver {driver[:80]}; overlay supports {OPTION}")
        elif driver != "overlay":
            yield Fault(path, "is supported by driver overlay only: other networks do not leave their node")
        elif value not in VALUES:
            yield Fault(path, f'"{value[:80]}" must be true or false')


def no_node_with_encryption(spec: NetworkSpec, view: View) -> Iterator[Fault]:
    """An encrypted network that no node can have. If only some support it, its tasks run there."""
    nodes = [status.description for node_id, status in view.node_status.items() if node_id in view.nodes]
    if is_encrypted(spec) and nodes and not any(map(can_encrypt, nodes)):
        yield Fault(
            f"options.{OPTION}",
            f"no node supports encrypted networks ({nodes_without_encryption(view)}): its kernel "
            "needs WireGuard or IPsec ESP; load the module wireguard, or xfrm_user and esp4, "
            "and restart the agent; or use a kernel that has one of them; or omit the option",
        )


def nodes_without_encryption(view: View) -> str:
    """Some nodes that cannot have encrypted networks; empty when all can."""
    known = {node_id: status.description for node_id, status in view.node_status.items() if node_id in view.nodes}
    only = any(map(has_only_wireguard, known.values()))
    hostnames = sorted(
        about.hostname or node_id for node_id, about in known.items() if missing_feature(about, wireguard_only=only)
    )
    return join_names(hostnames)


def _check_subnet(path: str, text: str) -> Iterator[Fault]:
    try:
        subnet = ipaddress.IPv4Network(text)
    except ValueError as error:
        yield Fault(path, f'"{text[:80]}" must be an IPv4 subnet such as 10.1.2.0/24: {error}')
        return
    if not MIN_PREFIX <= subnet.prefixlen <= MAX_PREFIX:
        yield Fault(path, f"{subnet} must have a prefix length between /{MIN_PREFIX} and /{MAX_PREFIX}")
    if any(subnet.overlaps(unusable) for unusable in _UNUSABLE):
        yield Fault(
            path, f"{subnet} is reserved (loopback, link-local, multicast or future use); choose another subnet"
        )


def _check_addresses(spec: NetworkSpec) -> Iterator[Fault]:
    """Gateway, range and auxiliary addresses are in the subnet that the user chose."""
    if len(spec.aux_addresses) > _MAX_RESERVED:
        yield Fault("aux_addresses", f"has {len(spec.aux_addresses)} addresses; the maximum is {_MAX_RESERVED}")
        return
    inner = {"gateway": spec.gateway, "ip_range": spec.ip_range}
    inner |= {f"aux_addresses.{name}": address for name, address in spec.aux_addresses.items()}
    for path, text in inner.items():
        if text:
            yield from _check_inner(path, text, spec.subnet)


def _check_inner(path: str, text: str, subnet: str) -> Iterator[Fault]:
    if not subnet:
        yield Fault(path, "requires a subnet that contains it")
        return
    if path != "ip_range" and (faults := list(check_ipv4(path, text))):
        yield from faults
        return
    try:
        inner, outer = ipaddress.IPv4Network(text), ipaddress.IPv4Network(subnet)
    except ValueError as error:
        if path == "ip_range":
            yield Fault(path, f'"{text[:80]}" must be a range such as 10.1.2.128/25: {error}')
        return  # the fault of the subnet itself is reported elsewhere
    if not inner.subnet_of(outer):
        yield Fault(path, f"{text} must be in subnet {outer}")
    elif path == "gateway" and inner.network_address in (outer[0], outer[-1]):
        yield Fault(
            path, f"{text} is the first or last address of {outer}, which cannot be used; choose another address"
        )


def overlap(
    path: str, subnet: str, networks: Mapping[str, Network], allocations: Mapping[str, NetworkAllocation]
) -> Iterator[Fault]:
    """The networks that already use a part of a valid `subnet`, as allocated or as requested."""
    requested = ipaddress.IPv4Network(subnet)
    for identifier, network in networks.items():
        allocation = allocations.get(identifier)
        taken = allocation.subnet if allocation is not None else network.spec.subnet
        if taken and requested.overlaps(ipaddress.IPv4Network(taken)):
            advice = f", which is {BEING_REMOVED}" if network.removing else "; choose another subnet, or omit it"
            yield Fault(path, f'{requested} overlaps network "{network.spec.name}" ({taken}){advice}')


def overlap_with_hosts(path: str, subnet: str, view: View) -> Iterator[Fault]:
    """Uses of a part of a valid `subnet` on nodes; one fault for each prefix that no other contains, naming a node."""
    requested = ipaddress.IPv4Network(subnet)
    if requested.overlaps(ipaddress.IPv4Network(NODE_POOL)):
        yield Fault(
            path,
            f"{requested} overlaps {NODE_POOL}, which nodes use for tasks without a network; choose another subnet",
        )
    reported: list[ipaddress.IPv4Network] = []
    for hostname, prefix, use in _used_by_hosts(view):
        used = ipaddress.IPv4Network(prefix)
        if requested.overlaps(used) and not any(used.subnet_of(other) for other in reported):
            reported.append(used)
            yield Fault(
                path, f"{requested} overlaps {prefix}, {use} of node {hostname}; choose another subnet, or omit it"
            )


def _used_by_hosts(view: View) -> Iterator[tuple[str, str, str]]:
    for node_id, status in view.node_status.items():
        about = status.description
        hostname = about.hostname or node_id
        yield from ((hostname, prefix, "a route") for prefix in _valid(about.host_prefixes))
        yield from ((hostname, address, "the address") for address in _valid([about.address]))
        yield from ((hostname, pool, "the local address pool") for pool in _valid([about.local_pool]))


def _valid(prefixes: Iterable[str]) -> Iterator[str]:
    """What an agent reports may be IPv6, or empty."""
    for text in prefixes:
        try:
            ipaddress.IPv4Network(text)
        except ValueError:
            continue
        yield text
