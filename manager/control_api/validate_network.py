"""What makes a network's spec valid, and which networks stand in its way. Pure: yields every fault."""

import ipaddress
from collections.abc import Iterator, Mapping

from manager.control_api import bounds
from manager.control_api.text_rules import check_labels, check_object_name
from shoal.api.v1.network_pb2 import Network, NetworkAllocation, NetworkSpec
from shoal.errors import Fault

# The smallest has room for the gateway's and some tasks' addresses; the largest is what one forwarding table bears.
PREFIX_LEAST, PREFIX_MOST = 16, 29
# RFC 1122 section 3.2.1.3, RFC 5735: not addresses of hosts.
_UNUSABLE = tuple(
    ipaddress.IPv4Network(text) for text in ("0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/4", "240.0.0.0/4")
)


def check_network(spec: NetworkSpec) -> Iterator[Fault]:
    """Every fault that the spec shows by itself."""
    if spec.ByteSize() > bounds.SPEC_BYTES:
        yield Fault("", f"the spec is {spec.ByteSize():,} bytes; at most {bounds.SPEC_BYTES:,} are allowed")
        return
    in_stack = spec.stack if spec.name.startswith(f"{spec.stack}_") else ""
    yield from check_object_name("name", spec.name, in_stack)
    yield from check_labels("labels", spec.labels)
    if spec.driver not in ("", "overlay"):
        yield Fault("driver", f'"{spec.driver[:80]}" is not known; "overlay" is')
    if spec.subnet:
        yield from _check_subnet("subnet", spec.subnet)


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


def overlap(
    path: str, subnet: str, networks: Mapping[str, Network], allocations: Mapping[str, NetworkAllocation]
) -> Iterator[Fault]:
    """The networks that already use a part of a valid `subnet`, by their allocation or their wish."""
    wanted = ipaddress.IPv4Network(subnet)
    for identifier, network in networks.items():
        allocation = allocations.get(identifier)
        taken = allocation.subnet if allocation is not None else network.spec.subnet
        if taken and wanted.overlaps(ipaddress.IPv4Network(taken)):
            yield Fault(
                path, f'{wanted} overlaps network "{network.spec.name}" ({taken}); choose another or leave it out'
            )
