"""Validation of published ports. Pure: yields every fault."""

from collections.abc import Iterator, Sequence
from ipaddress import ip_address

from manager.store.tables import View
from manager.validation import bounds
from manager.validation.eligible_nodes import eligible_nodes
from manager.validation.text_rules import check_address, check_range
from shoal.api.v1.service_pb2 import PublishedPort, ServiceSpec
from shoal.errors import Fault
from shoal.networks.published_ports import DYNAMIC_PORTS, covers, is_mesh, protocol_name, ranges_overlap


def check_ports(path: str, ports: Sequence[PublishedPort]) -> Iterator[Fault]:
    """Ranges, the mode, and duplicates."""
    if len(ports) > bounds.PORTS:
        yield Fault(path, f"has {len(ports)} ports; the maximum is {bounds.PORTS}")
        return
    for index, port in enumerate(ports):
        yield from _check_port(f"{path}[{index}]", port)
    yield from _check_twice(path, ports)


def _check_port(path: str, port: PublishedPort) -> Iterator[Fault]:
    yield from check_range(f"{path}.target", port.target, 1, 65535)
    if port.published:
        yield from check_range(f"{path}.published", port.published, 1, 65535)
    yield from _check_range(path, port)
    if port.mode not in PublishedPort.Mode.values():
        yield Fault(f"{path}.mode", "must be one of ingress, host")
    if port.local_only and not is_mesh(port):
        yield Fault(
            f"{path}.local_only", "is not supported with mode=host, where each node serves only its own tasks; omit it"
        )
    if port.protocol not in PublishedPort.Protocol.values():
        yield Fault(f"{path}.protocol", "must be one of tcp, udp, sctp")
    if port.host_address:
        yield from _check_host(f"{path}.host_address", port)


def _check_range(path: str, port: PublishedPort) -> Iterator[Fault]:
    """A range to choose from. One of mode=host excludes the range of dynamic ports, which the mesh uses too."""
    first, last = port.published_first, port.published_last
    if not first and not last:
        return
    if port.published:
        yield Fault(f"{path}.published", "specify a port or a port range, not both")
    elif not 1 <= first <= last <= 65535:
        yield Fault(f"{path}.published", f"{first}-{last} must be a port range within 1-65535")
    elif not is_mesh(port) and first < DYNAMIC_PORTS.stop and last >= DYNAMIC_PORTS.start:
        own = f"{DYNAMIC_PORTS.start} to {DYNAMIC_PORTS.stop - 1}"
        yield Fault(
            f"{path}.published",
            f"ports {own} are assigned to ports published without a number; choose other ports, or omit the range",
        )


def _check_host(path: str, port: PublishedPort) -> Iterator[Fault]:
    if faults := list(check_address(path, port.host_address)):
        yield from faults
    elif ip_address(port.host_address).version == 6 and ip_address(port.host_address).is_link_local:
        yield Fault(
            path, f"{port.host_address} is a link-local address, which clients cannot reach; use another address"
        )
    elif port.host_address == "::1" and port.protocol not in (PublishedPort.PROTOCOL_UNSPECIFIED, PublishedPort.TCP):
        yield Fault(path, "only tcp can be published on ::1; use 127.0.0.1 or another address")


def _check_twice(path: str, ports: Sequence[PublishedPort]) -> Iterator[Fault]:
    """A port of a protocol may be published on several addresses, but not on one address and on all."""
    taken: dict[tuple[int, int], set[str]] = {}
    for index, port in enumerate(ports):
        if port.published_first and any(each is not port and ranges_overlap(port, each) for each in ports):
            yield Fault(f"{path}[{index}].published", "overlaps another published port of the service")
        if not port.published:
            if not port.published_first and any(port == each for each in ports[:index]):
                yield Fault(f"{path}[{index}].target", f"{port.target} is published twice; remove one of them")
            continue
        protocol = port.protocol or PublishedPort.TCP
        addresses = taken.setdefault((protocol, port.published), set())
        if any(covers(port.host_address, other) or covers(other, port.host_address) for other in addresses):
            name = protocol_name(protocol) if protocol in PublishedPort.Protocol.values() else "?"
            yield Fault(f"{path}[{index}].published", f"{port.published}/{name} is published twice")
        addresses.add(port.host_address)


def port_warnings(spec: ServiceSpec, view: View) -> Iterator[str]:
    """A fixed host port allows one task per node: with more replicas than nodes, some stay pending."""
    fixed = [str(port.published) for port in spec.endpoint.ports if port.published and not is_mesh(port)]
    replicas = spec.replicated.replicas
    if not fixed or replicas <= 1 or replicas <= (nodes := sum(1 for _ in eligible_nodes(view, spec))):
        return
    yield (
        f"{spec.name}: port {', '.join(fixed)} is published with mode=host, "
        f"so each node can run only one of the {replicas} replicas; "
        f"{nodes} {'node is' if nodes == 1 else 'nodes are'} eligible now"
    )
