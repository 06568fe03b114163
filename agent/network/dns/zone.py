"""Which names lead where, on each network: a value made from the planner's tables."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network

from agent.network.netlink.messages import Address, Network
from agent.network.protocols import PROTOCOL_NAMES, protocol_number
from shoal.api.v1.dispatcher_pb2 import NetworkAssignment, ServiceEndpoint, TaskEndpoint
from shoal.api.v1.service_pb2 import VirtualAddress
from shoal.api.v1.task_pb2 import TaskAddress

Addresses = Sequence[Address]
"""Of both families."""
PortKey = tuple[str, int]
"""A protocol's lower-case name, and a port."""


@dataclass(frozen=True, slots=True)
class Owner:
    """The task that has an address.

    Attributes:
        name: its full name.
        ports: port in the container, by what names lead to it: that port itself, and the published one.
    """

    network: str
    name: str
    ports: Mapping[PortKey, int]


@dataclass(frozen=True)
class Zone:
    """All names of the node's networks. A name whose tasks are not ready is there, with no address.

    Attributes:
        names: addresses by lower-case name, by network id.
        owners: the task that has an address.
        subnets: prefixes of all networks: reverse names in them are nobody else's to answer.
    """

    names: Mapping[str, Mapping[str, Addresses]] = field(default_factory=dict)
    owners: Mapping[Address, Owner] = field(default_factory=dict)
    subnets: Sequence[Network] = ()

    def find(self, name: str, networks: Iterable[str]) -> Addresses | None:
        """Addresses of a name on the first of the networks that knows it; None when none does."""
        found = (self.names[network].get(name) for network in networks if network in self.names)
        return next((addresses for addresses in found if addresses is not None), None)

    def tasks(self, name: str, networks: Iterable[str]) -> Addresses | None:
        """The same, but always those of tasks, where the plain name may lead to a virtual address."""
        places = tuple(networks)
        found = self.find(f"tasks.{name}", places)
        return found if found is not None else self.find(name, places)

    def owner(self, address: Address, networks: Collection[str]) -> str | None:
        """The name of the task that has the address, when it is on one of the networks."""
        owner = self.owners.get(address)
        return owner.name if owner is not None and owner.network in networks else None

    def covers(self, address: Address) -> bool:
        return any(address in subnet for subnet in self.subnets)


def zone(
    networks: Sequence[NetworkAssignment],
    endpoints: Sequence[TaskEndpoint],
    services: Sequence[ServiceEndpoint] = (),
    *,
    ipv6: bool = True,
) -> Zone:
    """The names of these endpoints and services. Addresses must be valid, as `tables` found them.

    Args:
        ipv6: whether the node has it; else its containers are told of no address of that family.
    """
    names: dict[str, dict[str, list[Address]]] = {network.network_id: {} for network in networks if not network.mesh}
    owners: dict[Address, Owner] = {}
    virtual = _virtual_addresses(services, ipv6)
    for service in services:
        for own in service.virtual_addresses:
            if (known := names.get(own.network_id)) is not None:
                addresses = virtual[service.service_id, own.network_id]
                known.setdefault(service.service_name.lower(), []).extend(addresses)
                owners.update(dict.fromkeys(addresses, Owner(own.network_id, service.service_name, {})))
    ports: dict[str, Mapping[PortKey, int]] = {}
    for endpoint in endpoints:
        if endpoint.service_id not in ports or not endpoint.service_id:
            ports[endpoint.service_id] = _ports(endpoint)
        for place in endpoint.addresses:
            if (known := names.get(place.network_id)) is None:
                continue
            addresses = _addresses(place, ipv6)
            common = virtual.get((endpoint.service_id, place.network_id), ())
            for name in _names(endpoint, place.network_id):
                listed = known.setdefault(name.lower(), [])
                if common and _is_shared(name, endpoint):
                    listed.extend(address for address in common if address not in listed)
                elif endpoint.ready:
                    listed.extend(addresses)
            owner = Owner(place.network_id, _task_name(endpoint), ports[endpoint.service_id])
            owners.update(dict.fromkeys(addresses, owner))
    subnets = (text for network in networks for text in (network.subnet, network.subnet6 if ipv6 else "") if text)
    return Zone(names, owners, tuple(ip_network(text) for text in subnets))


def _addresses(place: TaskAddress | VirtualAddress, ipv6: bool) -> Sequence[Address]:
    both = (place.address, place.address6) if place.address6 and ipv6 else (place.address,)
    return tuple(map(ip_address, both))


def _virtual_addresses(services: Iterable[ServiceEndpoint], ipv6: bool) -> Mapping[tuple[str, str], Sequence[Address]]:
    """By service and network."""
    return {
        (service.service_id, place.network_id): _addresses(place, ipv6)
        for service in services
        for place in service.virtual_addresses
    }


def _is_shared(name: str, endpoint: TaskEndpoint) -> bool:
    """Whether the name is of the service, so that it leads to its virtual address where there is one."""
    own = (f"tasks.{endpoint.service_name}", f"{endpoint.service_name}.{endpoint.slot or endpoint.node_id}")
    return name not in own and name != _task_name(endpoint)


def _ports(endpoint: TaskEndpoint) -> Mapping[PortKey, int]:
    """The same for all tasks of a service. A port in the container has precedence over the same number published."""
    found: dict[PortKey, int] = {}
    for port in endpoint.ports:
        protocol = PROTOCOL_NAMES[protocol_number(port.protocol)]
        if port.published:
            found.setdefault((protocol, port.published), port.target)
    for port in endpoint.ports:
        found[PROTOCOL_NAMES[protocol_number(port.protocol)], port.target] = port.target
    return found


def _task_name(endpoint: TaskEndpoint) -> str:
    return f"{endpoint.service_name}.{endpoint.slot or endpoint.node_id}.{endpoint.task_id}"


def _names(endpoint: TaskEndpoint, network_id: str) -> Iterator[str]:
    """Service, all its tasks, slot, task; and the names that the spec adds, where not the same again."""
    service = endpoint.service_name
    own = (service, f"tasks.{service}", f"{service}.{endpoint.slot or endpoint.node_id}", _task_name(endpoint))
    yield from own
    if network_id in endpoint.aliases:
        yield from (name for name in dict.fromkeys(endpoint.aliases[network_id].names) if name not in own)
