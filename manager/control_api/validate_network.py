"""What makes a network's spec valid, and what stands in its way. Pure: yields every fault."""

import ipaddress
from collections.abc import Iterable, Iterator, Mapping

from manager.control_api import bounds
from manager.control_api.text_rules import check_ipv4, check_labels, check_object_name
from manager.store.tables import View
from shoal.api.v1.network_pb2 import Network, NetworkAllocation, NetworkSpec
from shoal.errors import Fault
from shoal.network_modes import MODES, NODE_POOL
from shoal.overlay_encryption import OPTION, VALUES, can_encrypt, has_wireguard_alone, is_encrypted, lacks
from shoal.published_ports import MESH_NETWORK

DRIVERS = ("overlay", "bridge")
# The smallest has room for the gateway's and some tasks' addresses; the largest is what one forwarding table bears.
PREFIX_LEAST, PREFIX_MOST = 16, 29
# RFC 1122 section 3.2.1.3, RFC 5735: not addresses of hosts.
_UNUSABLE = tuple(
    ipaddress.IPv4Network(text) for text in ("0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/4", "240.0.0.0/4")
)
_RESERVED_MOST = 64
GOING = "being removed, and gone once its last task has ended"
"""Of a network that is there only because tasks on it still stop."""
_NAMED = 5


def check_network(spec: NetworkSpec) -> Iterator[Fault]:
    """Every fault that the spec shows by itself."""
    if spec.ByteSize() > bounds.SPEC_BYTES:
        yield Fault("", f"the spec is {spec.ByteSize():,} bytes; at most {bounds.SPEC_BYTES:,} are allowed")
        return
    in_stack = spec.stack if spec.name.startswith(f"{spec.stack}_") else ""
    yield from check_object_name("name", spec.name, in_stack)
    if spec.name == MESH_NETWORK:
        yield Fault("name", f'"{MESH_NETWORK}" is the name of the routing mesh\'s own network; choose another')
    if spec.name in MODES:
        yield Fault("name", f'"{spec.name}" is a mode, not a network; choose another name')
    yield from check_labels("labels", spec.labels)
    if spec.driver not in ("", *DRIVERS):
        yield Fault("driver", f'"{spec.driver[:80]}" is not known; {" and ".join(DRIVERS)} are')
    yield from _check_options(spec)
    if spec.subnet:
        yield from _check_subnet("subnet", spec.subnet)
    yield from _check_addresses(spec)


def _check_options(spec: NetworkSpec) -> Iterator[Fault]:
    driver = spec.driver or DRIVERS[0]
    for name, value in sorted(spec.options.items()):
        path = f"options.{name[:80]}"
        if name != OPTION:
            yield Fault(path, f"the driver {driver[:80]} has no such option; overlay has: {OPTION}")
        elif driver != "overlay":
            yield Fault(path, "is for the driver overlay: a network of another one never leaves its node")
        elif value not in VALUES:
            yield Fault(path, f'"{value[:80]}" is neither true nor false')


def lacks_encryption(spec: NetworkSpec, view: View) -> Iterator[Fault]:
    """An encrypted network that no node can have. One that some can have is theirs alone."""
    nodes = [status.description for node_id, status in view.node_status.items() if node_id in view.nodes]
    if is_encrypted(spec) and nodes and not any(map(can_encrypt, nodes)):
        yield Fault(
            f"options.{OPTION}",
            f"no node's kernel has WireGuard or IPsec ESP ({nodes_without_encryption(view)}): load the module "
            "wireguard there, or xfrm_user and esp4, and restart the agent, take a kernel that has one, or leave the "
            "option out",
        )


def nodes_without_encryption(view: View) -> str:
    """Some names of nodes that cannot have encrypted networks; empty when all can."""
    known = {node_id: status.description for node_id, status in view.node_status.items() if node_id in view.nodes}
    only = any(map(has_wireguard_alone, known.values()))
    hostnames = sorted(
        about.hostname or node_id for node_id, about in known.items() if lacks(about, wireguard_only=only)
    )
    return ", ".join(hostnames[:_NAMED]) + (", …" if len(hostnames) > _NAMED else "")


def _check_subnet(path: str, text: str) -> Iterator[Fault]:
    try:
        subnet = ipaddress.IPv4Network(text)
    except ValueError as error:
        yield Fault(path, f'"{text[:80]}" is not an IPv4 subnet such as 10.1.2.0/24: {error}')
        return
    if not PREFIX_LEAST <= subnet.prefixlen <= PREFIX_MOST:
        yield Fault(path, f"{subnet} must be between /{PREFIX_LEAST} and /{PREFIX_MOST}")
    if any(subnet.overlaps(unusable) for unusable in _UNUSABLE):
        yield Fault(path, f"{subnet} is not for hosts (loopback, link-local, multicast or reserved)")


def _check_addresses(spec: NetworkSpec) -> Iterator[Fault]:
    """Gateway, range and what is kept back lie in the subnet that the user chose."""
    if len(spec.reserved) > _RESERVED_MOST:
        yield Fault("reserved", f"has {len(spec.reserved)} addresses; at most {_RESERVED_MOST} are allowed")
        return
    inner = {"gateway": spec.gateway, "ip_range": spec.ip_range}
    inner |= {f"reserved.{name}": address for name, address in spec.reserved.items()}
    for path, text in inner.items():
        if text:
            yield from _check_inner(path, text, spec.subnet)


def _check_inner(path: str, text: str, subnet: str) -> Iterator[Fault]:
    if not subnet:
        yield Fault(path, "needs a subnet that it lies in")
        return
    if path != "ip_range" and (faults := list(check_ipv4(path, text))):
        yield from faults
        return
    try:
        inner, outer = ipaddress.IPv4Network(text), ipaddress.IPv4Network(subnet)
    except ValueError as error:
        if path == "ip_range":
            yield Fault(path, f'"{text[:80]}" is not a range such as 10.1.2.128/25: {error}')
        return  # the subnet's own fault is told already
    if not inner.subnet_of(outer):
        yield Fault(path, f"{text} is not in the subnet {outer}")
    elif path == "gateway" and inner.network_address in (outer[0], outer[-1]):
        yield Fault(path, f"{text} is the first or the last address of {outer}, which is nobody's")


def overlap(
    path: str, subnet: str, networks: Mapping[str, Network], allocations: Mapping[str, NetworkAllocation]
) -> Iterator[Fault]:
    """The networks that already use a part of a valid `subnet`, by their allocation or their wish."""
    wanted = ipaddress.IPv4Network(subnet)
    for identifier, network in networks.items():
        allocation = allocations.get(identifier)
        taken = allocation.subnet if allocation is not None else network.spec.subnet
        if taken and wanted.overlaps(ipaddress.IPv4Network(taken)):
            advice = f", which is {GOING}" if network.removing else "; choose another or leave it out"
            yield Fault(path, f'{wanted} overlaps network "{network.spec.name}" ({taken}){advice}')


def overlap_with_hosts(path: str, subnet: str, view: View) -> Iterator[Fault]:
    """What nodes use a part of a valid `subnet` for; one fault for each prefix in no other, naming a node."""
    wanted = ipaddress.IPv4Network(subnet)
    if wanted.overlaps(ipaddress.IPv4Network(NODE_POOL)):
        yield Fault(path, f"{wanted} overlaps {NODE_POOL}, which each node uses for tasks without a network")
    told: list[ipaddress.IPv4Network] = []
    for hostname, prefix, use in _used_by_hosts(view):
        used = ipaddress.IPv4Network(prefix)
        if wanted.overlaps(used) and not any(used.subnet_of(other) for other in told):
            told.append(used)
            yield Fault(path, f"{wanted} overlaps {prefix}, {use} of node {hostname}; choose another or leave it out")


def _used_by_hosts(view: View) -> Iterator[tuple[str, str, str]]:
    for node_id, status in view.node_status.items():
        about = status.description
        hostname = about.hostname or node_id
        yield from ((hostname, prefix, "a route") for prefix in _valid(about.host_prefixes))
        yield from ((hostname, address, "the address") for address in _valid([about.address]))
        yield from ((hostname, pool, "for tasks without a network the pool") for pool in _valid([about.local_pool]))


def _valid(prefixes: Iterable[str]) -> Iterator[str]:
    """An agent's word may be IPv6, or nothing."""
    for text in prefixes:
        try:
            ipaddress.IPv4Network(text)
        except ValueError:
            continue
        yield text
