"""The service map: frontends (virtual addresses, mesh ports) and their ready backends. Pure."""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from ipaddress import IPv4Address, IPv6Address, ip_address

from agent.network.ip_protocols import protocol_number
from agent.network.ip_types import Address
from agent.network.well_known import LOOPBACK6
from shoal.api.v1.dispatcher_pb2 import NetworkAssignment, ServiceEndpoint, TaskEndpoint
from shoal.api.v1.service_pb2 import PublishedPort, VirtualAddress
from shoal.errors import Fault, InvalidInput

_ALL, _ALL6, _LOOPBACK6 = IPv4Address("0.0.0.0"), IPv6Address("::"), IPv6Address("::1")  # noqa: S104  (read, not bound)


class FrontendKind(Enum):
    """Kinds of frontends; the value is the prefix of the names of their maps."""

    VIRTUAL = "virtual"
    """A service's address on a network. Key: the address. Target: an address."""
    MESH = "mesh"
    """A port of every address of every node. Key: protocol . port. Target: address . port."""
    MESH_AT = "mesh_at"
    """A port of one address of every node. Key: protocol . address . port. Target: address . port."""
    VIRTUAL6, MESH6, MESH_AT6 = "virtual6", "mesh6", "mesh_at6"
    """The same for IPv6."""

    @property
    def is_virtual(self) -> bool:
        return self in (FrontendKind.VIRTUAL, FrontendKind.VIRTUAL6)

    @property
    def version(self) -> int:
        """The IP version."""
        return 6 if self.value.endswith("6") else 4


@dataclass(frozen=True, slots=True)
class Frontend:
    """An address or port that clients connect to. `key` is its form in nftables, without the bucket."""

    kind: FrontendKind
    key: str


@dataclass(frozen=True)
class ServiceMap:
    """The services as this node forwards to them.

    Attributes:
        backends: ready targets by frontend. Connections to a frontend without any are rejected.
        targets: address . protocol . port of this node's own tasks that other nodes may forward clients to.
        targets6: the same for IPv6.
    """

    backends: Mapping[Frontend, frozenset[str]] = field(default_factory=dict)
    targets: frozenset[str] = frozenset()
    targets6: frozenset[str] = frozenset()


def service_map(
    networks: Sequence[NetworkAssignment],
    endpoints: Iterable[TaskEndpoint],
    records: Iterable[ServiceEndpoint],
    node_id: str,
    *,
    ipv6: bool = True,
) -> ServiceMap:
    """The services of the node `node_id`.

    Args:
        ipv6: whether the node has IPv6; otherwise IPv6 frontends are left out.
    Raises:
        InvalidInput: a virtual address or a host address is invalid; all field errors at once.
    """
    versions = (4, 6) if ipv6 else (4,)
    known = {network.network_id for network in networks}
    mesh = {network.network_id for network in networks if network.mesh}
    endpoints_of: defaultdict[str, list[TaskEndpoint]] = defaultdict(list)
    for endpoint in endpoints:
        endpoints_of[endpoint.service_id].append(endpoint)
    backends: dict[Frontend, frozenset[str]] = {}
    targets: dict[int, set[str]] = {4: set(), 6: set()}
    faults: list[Fault] = []
    for record in records:
        own = endpoints_of.get(record.service_id, ())
        if wrong := list(_record_faults(record)):
            faults += wrong
            continue
        for virtual in record.virtual_addresses:
            if virtual.network_id in known:
                backends.update(_virtual_frontends(own, virtual, versions))
        for port in record.mesh_ports:
            for frontend in _mesh_frontends(port, versions):
                version = frontend.kind.version
                backends[frontend] = frozenset(_ready_targets(own, port, mesh, node_id, version))
                targets[version].update(_own_targets(own, port, mesh, node_id, version))
    if faults:
        raise InvalidInput(faults)
    return ServiceMap(backends, frozenset(targets[4]), frozenset(targets[6]))


def _virtual_frontends(
    own: Sequence[TaskEndpoint], virtual: VirtualAddress, versions: Collection[int]
) -> Iterator[tuple[Frontend, frozenset[str]]]:
    for version, kind, address in (
        (4, FrontendKind.VIRTUAL, virtual.address),
        (6, FrontendKind.VIRTUAL6, virtual.address6),
    ):
        if address and version in versions:
            ready = (each for each in own if each.ready)
            yield Frontend(kind, address), frozenset(_addresses(ready, {virtual.network_id}, version))


def _mesh_frontends(port: PublishedPort, versions: Collection[int]) -> Iterator[Frontend]:
    """One for each IP version at whose addresses the port is published."""
    protocol, host = protocol_number(port.protocol), port.host_address
    addresses = (ip_address(host),) if host else (_ALL, _ALL6)
    for address in addresses:
        if address.version not in versions:
            continue
        if address.is_unspecified:
            yield Frontend(
                FrontendKind.MESH if address.version == 4 else FrontendKind.MESH6, f"{protocol} . {port.published}"
            )
        else:
            kind = FrontendKind.MESH_AT if address.version == 4 else FrontendKind.MESH_AT6
            yield Frontend(kind, f"{protocol} . {routable_address(address)} . {port.published}")


def routable_address(host: Address) -> Address:
    """The address that the kernel forwards from: it forwards nothing from ::1, which `LoopbackRelay` replaces."""
    return LOOPBACK6 if host == _LOOPBACK6 else host


def _addresses(endpoints: Iterable[TaskEndpoint], networks: Collection[str], version: int) -> Iterator[str]:
    task_addresses = (
        task_address for each in endpoints for task_address in each.addresses if task_address.network_id in networks
    )
    return filter(None, (each.address6 if version == 6 else each.address for each in task_addresses))


def _ready_targets(
    own: Iterable[TaskEndpoint], port: PublishedPort, mesh: set[str], node_id: str, version: int
) -> Iterator[str]:
    ready = (each for each in own if each.ready and (each.node_id == node_id or not port.local_only))
    return (f"{address} . {port.target}" for address in _addresses(ready, mesh, version))


def _own_targets(
    own: Iterable[TaskEndpoint], port: PublishedPort, mesh: set[str], node_id: str, version: int
) -> Iterator[str]:
    """Includes tasks that are not ready: another node may not know it yet, and connections may be open."""
    here = (each for each in own if each.node_id == node_id)
    protocol = protocol_number(port.protocol)
    return (f"{address} . {protocol} . {port.target}" for address in _addresses(here, mesh, version))


def _record_faults(record: ServiceEndpoint) -> Iterator[Fault]:
    where = f"service {record.service_name}"
    for virtual in record.virtual_addresses:
        yield from _address_fault(where, virtual.address, IPv4Address)
        if virtual.address6:
            yield from _address_fault(where, virtual.address6, IPv6Address)
    for port in record.mesh_ports:
        if port.host_address:
            yield from _address_fault(where, port.host_address, ip_address)


def _address_fault(where: str, text: str, read: Callable[[str], Address]) -> Iterator[Fault]:
    try:
        read(text)
    except ValueError:
        yield Fault(where, f"'{text}' is not a valid address")
