"""What clients connect to, and where that leads, read from the planner's word. Pure."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from ipaddress import IPv4Address

from agent.network.protocols import protocol_number
from shoal.api.v1.dispatcher_pb2 import NetworkAssignment, ServiceEndpoint, TaskEndpoint
from shoal.api.v1.service_pb2 import PublishedPort
from shoal.errors import Fault, InvalidInput

_EVERYWHERE = ("", "0.0.0.0")  # noqa: S104  (read, not bound)


class Kind(Enum):
    """Kinds of frontends; the value begins the names of their maps."""

    VIRTUAL = "virtual"
    """A service's address on a network. Key: the address. Target: an address."""
    MESH = "mesh"
    """A port of every address of every node. Key: protocol . port. Target: address . port."""
    MESH_AT = "mesh_at"
    """A port of one address of every node. Key: protocol . address . port. Target: address . port."""


@dataclass(frozen=True, slots=True)
class Frontend:
    """One thing that clients connect to. `key` is nftables' own word for it, the slot left out."""

    kind: Kind
    key: str


@dataclass(frozen=True)
class Services:
    """How services are reached as a whole.

    Attributes:
        backends: targets that are ready, by frontend. One without any is refused to clients.
        targets: address . protocol . port of this node's own tasks that other nodes may lead clients to.
    """

    backends: Mapping[Frontend, frozenset[str]] = field(default_factory=dict)
    targets: frozenset[str] = frozenset()


def withdrawn(old: Services, new: Services) -> frozenset[IPv4Address]:
    """Addresses of backends that some frontend does not lead to any more."""
    none: frozenset[str] = frozenset()
    gone = (targets - new.backends.get(frontend, none) for frontend, targets in old.backends.items())
    return frozenset(IPv4Address(target.partition(" ")[0]) for targets in gone for target in targets)


def services(
    networks: Sequence[NetworkAssignment],
    endpoints: Iterable[TaskEndpoint],
    records: Iterable[ServiceEndpoint],
    node_id: str,
) -> Services:
    """The services of the node `node_id`.

    Raises:
        InvalidInput: a virtual address or an address of the host is none; all faults at once.
    """
    known = {network.network_id for network in networks}
    mesh = {network.network_id for network in networks if network.mesh}
    tasks: defaultdict[str, list[TaskEndpoint]] = defaultdict(list)
    for endpoint in endpoints:
        tasks[endpoint.service_id].append(endpoint)
    backends: dict[Frontend, frozenset[str]] = {}
    targets: set[str] = set()
    faults: list[Fault] = []
    for record in records:
        own = tasks.get(record.service_id, ())
        faults += _faults(record)
        for virtual in record.virtual_addresses:
            if virtual.network_id in known:
                ready = _addresses((each for each in own if each.ready), {virtual.network_id})
                backends[Frontend(Kind.VIRTUAL, virtual.address)] = frozenset(ready)
        for port in record.mesh_ports:
            backends[_frontend(port)] = frozenset(_reached(own, port, mesh, node_id))
            targets.update(_own_targets(own, port, mesh, node_id))
    if faults:
        raise InvalidInput(faults)
    return Services(backends, frozenset(targets))


def _frontend(port: PublishedPort) -> Frontend:
    protocol = protocol_number(port.protocol)
    if port.host_address in _EVERYWHERE:
        return Frontend(Kind.MESH, f"{protocol} . {port.published}")
    return Frontend(Kind.MESH_AT, f"{protocol} . {port.host_address} . {port.published}")


def _addresses(endpoints: Iterable[TaskEndpoint], networks: Collection[str]) -> Iterator[str]:
    return (place.address for each in endpoints for place in each.addresses if place.network_id in networks)


def _reached(own: Iterable[TaskEndpoint], port: PublishedPort, mesh: set[str], node_id: str) -> Iterator[str]:
    ready = (each for each in own if each.ready and (each.node_id == node_id or not port.local_only))
    return (f"{address} . {port.target}" for address in _addresses(ready, mesh))


def _own_targets(own: Iterable[TaskEndpoint], port: PublishedPort, mesh: set[str], node_id: str) -> Iterator[str]:
    """Also of tasks that are not ready: another node may not know it yet, and connections may be under way."""
    here = (each for each in own if each.node_id == node_id)
    return (f"{address} . {protocol_number(port.protocol)} . {port.target}" for address in _addresses(here, mesh))


def _faults(record: ServiceEndpoint) -> Iterator[Fault]:
    addresses = [virtual.address for virtual in record.virtual_addresses]
    addresses += [port.host_address for port in record.mesh_ports if port.host_address]
    for address in addresses:
        try:
            IPv4Address(address)
        except ValueError:
            yield Fault(f"service {record.service_name}", f"'{address}' is no IPv4 address")
