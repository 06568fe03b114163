"""Which names lead where, on each network: a value made from the planner's tables."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network

from shoal.api.v1.dispatcher_pb2 import NetworkAssignment, TaskEndpoint

Addresses = Sequence[IPv4Address]


@dataclass(frozen=True)
class Zone:
    """All names of the node's networks. A name whose tasks are not ready is there, with no address.

    Attributes:
        names: addresses by lower-case name, by network id.
        owners: network id and full task name by address.
        subnets: prefixes of all networks: reverse names in them are nobody else's to answer.
    """

    names: Mapping[str, Mapping[str, Addresses]] = field(default_factory=dict)
    owners: Mapping[IPv4Address, tuple[str, str]] = field(default_factory=dict)
    subnets: Sequence[IPv4Network] = ()

    def find(self, name: str, networks: Iterable[str]) -> Addresses | None:
        """Addresses of a name on the first of the networks that knows it; None when none does."""
        found = (self.names[network].get(name) for network in networks if network in self.names)
        return next((addresses for addresses in found if addresses is not None), None)

    def owner(self, address: IPv4Address, networks: Collection[str]) -> str | None:
        """The name of the task that has the address, when it is on one of the networks."""
        network, name = self.owners.get(address, ("", ""))
        return name if network in networks else None

    def covers(self, address: IPv4Address) -> bool:
        return any(address in subnet for subnet in self.subnets)


def zone(networks: Sequence[NetworkAssignment], endpoints: Sequence[TaskEndpoint]) -> Zone:
    """The names of these endpoints. Addresses must be valid, as `tables` found them."""
    names: dict[str, dict[str, list[IPv4Address]]] = {network.network_id: {} for network in networks}
    owners: dict[IPv4Address, tuple[str, str]] = {}
    for endpoint in endpoints:
        for place in endpoint.addresses:
            if (known := names.get(place.network_id)) is None:
                continue
            address = IPv4Address(place.address)
            for name in _names(endpoint, place.network_id):
                listed = known.setdefault(name.lower(), [])
                if endpoint.ready:
                    listed.append(address)
            owners[address] = (place.network_id, _task_name(endpoint))
    return Zone(names, owners, tuple(IPv4Network(network.subnet) for network in networks))


def _task_name(endpoint: TaskEndpoint) -> str:
    return f"{endpoint.service_name}.{endpoint.slot or endpoint.node_id}.{endpoint.task_id}"


def _names(endpoint: TaskEndpoint, network_id: str) -> Iterator[str]:
    """Service, all its tasks, slot, task; and the names that the spec adds, where not the same again."""
    service = endpoint.service_name
    own = (service, f"tasks.{service}", f"{service}.{endpoint.slot or endpoint.node_id}", _task_name(endpoint))
    yield from own
    if network_id in endpoint.aliases:
        yield from (name for name in dict.fromkeys(endpoint.aliases[network_id].names) if name not in own)
