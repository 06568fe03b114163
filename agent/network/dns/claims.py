"""What names and addresses follow from one endpoint, or one service. Pure.

A zone is the sum of these, so that a change of one costs what that one claims, however many there are.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address

from agent.network.netlink.messages import Address
from agent.network.protocols import PROTOCOL_NAMES, protocol_number
from shoal.api.v1.dispatcher_pb2 import NetworkAssignment, ServiceEndpoint, TaskEndpoint
from shoal.api.v1.service_pb2 import VirtualAddress
from shoal.api.v1.task_pb2 import TaskAddress

PortKey = tuple[str, int]
"""A protocol's lower-case name, and a port."""


@dataclass(frozen=True, slots=True)
class Owner:
    """The task that has an address.

    Attributes:
        name: its full name.
        ports: port in the container, by what names lead to it: that port itself, and the published one.
        brief: who asked is to keep the address for no time: a task that is reached by a virtual address ends without
            regard to who has its own. Else it waits until answers that were kept are old.
    """

    network: str
    name: str
    ports: Mapping[PortKey, int]
    brief: bool = False


@dataclass(frozen=True)
class Claims:
    """What one or several say.

    Attributes:
        names: network id, lower-case name and the addresses that it leads to; none yet while nobody is ready.
        spares: likewise, where a name has no such addresses: virtual ones behind which nobody is ready.
        owners: whose an address is.
    """

    names: list[tuple[str, str, tuple[Address, ...]]] = field(default_factory=list)
    spares: list[tuple[str, str, tuple[Address, ...]]] = field(default_factory=list)
    owners: list[tuple[Address, Owner]] = field(default_factory=list)


def claims(
    service: ServiceEndpoint | None,
    endpoints: Iterable[TaskEndpoint],
    networks: Mapping[str, NetworkAssignment],
    *,
    ipv6: bool,
) -> Claims:
    """Of a service and some of its endpoints. Addresses must be valid, as `tables` found them.

    Args:
        networks: all, by id; of those that are not there, and of the mesh's, nothing is said.
        ipv6: whether the node has it; else its containers are told of no address of that family.
    """
    found = Claims()
    named = {key for key, network in networks.items() if not network.mesh}
    virtual = _virtual_addresses(service, named, ipv6) if service is not None else {}
    for network_id, common in virtual.items():
        assert service is not None
        found.names.append((network_id, service.service_name.lower(), ()))
        found.spares.append((network_id, service.service_name.lower(), common))
        owner = Owner(network_id, service.service_name, {})
        found.owners.extend((address, owner) for address in common)
    for endpoint in endpoints:
        ports = _ports(endpoint)
        for place in endpoint.addresses:
            if place.network_id in named:
                _claim(found, endpoint, place, virtual.get(place.network_id, ()), ports, ipv6)
    return found


def _claim(
    found: Claims,
    endpoint: TaskEndpoint,
    place: TaskAddress,
    common: tuple[Address, ...],
    ports: Mapping[PortKey, int],
    ipv6: bool,
) -> None:
    own = _addresses(place, ipv6)
    ready = own if endpoint.ready else ()
    for name, shared in _names(endpoint, place.network_id).items():
        if common and shared:
            found.spares.append((place.network_id, name, common))
        found.names.append((place.network_id, name, common if ready and shared and common else ready))
    owner = Owner(place.network_id, _task_name(endpoint), ports, brief=bool(common))
    found.owners.extend((address, owner) for address in own)


def _addresses(place: TaskAddress | VirtualAddress, ipv6: bool) -> tuple[Address, ...]:
    both = (place.address, place.address6) if place.address6 and ipv6 else (place.address,)
    return tuple(map(ip_address, both))


def _virtual_addresses(service: ServiceEndpoint, named: set[str], ipv6: bool) -> dict[str, tuple[Address, ...]]:
    """By network."""
    places = service.virtual_addresses
    return {place.network_id: _addresses(place, ipv6) for place in places if place.network_id in named}


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


def _names(endpoint: TaskEndpoint, network_id: str) -> dict[str, bool]:
    """Lower-case names of task and slot, of the service and of all its tasks, by its own name and by aliases.

    True: it is of the service as a whole, so it leads to the virtual address where there is one.
    """
    service = endpoint.service_name
    found = {f"{service}.{endpoint.slot or endpoint.node_id}".lower(): False, _task_name(endpoint).lower(): False}
    aliases = endpoint.aliases[network_id].names if network_id in endpoint.aliases else ()
    for name in (service, *aliases):
        found.setdefault(f"tasks.{name}".lower(), False)
        found.setdefault(name.lower(), True)
    return found
