"""The names and addresses of one endpoint or service. Pure.

A zone is the sum of these, so that a change of one costs in proportion to its own entries, however many there are.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address

from agent.network.cluster_state.diff import Diff
from agent.network.ip_protocols import PROTOCOL_NAMES, protocol_number
from agent.network.ip_types import Address
from shoal.api.v1.dispatcher_pb2 import NetworkAssignment, ServiceEndpoint, TaskEndpoint
from shoal.api.v1.service_pb2 import VirtualAddress
from shoal.api.v1.task_pb2 import TaskAddress

NameEntry = tuple[str, str, tuple[Address, ...]]
"""Network id, lower-case name, and addresses."""
PortKey = tuple[str, int]
"""A protocol's lower-case name, and a port."""


@dataclass(frozen=True, slots=True)
class AddressOwner:
    """The task that has an address.

    Attributes:
        name: its full name.
        ports: port in the container, by the ports that SRV names use for it: the port itself and the published one.
        zero_ttl: clients must not cache the address: a task behind a virtual address stops without waiting for clients
            that have resolved its own address. Other tasks wait until cached answers have expired.
    """

    network: str
    name: str
    ports: Mapping[PortKey, int]
    zero_ttl: bool = False


@dataclass(frozen=True)
class NameEntries:
    """Entries of one or several services and endpoints.

    Attributes:
        names: with the addresses that a name resolves to; none while no task is ready.
        fallbacks: likewise, for names without such addresses: virtual addresses with no ready task behind them.
        owners: the task or service of an address.
    """

    names: list[NameEntry] = field(default_factory=list)
    fallbacks: list[NameEntry] = field(default_factory=list)
    owners: list[tuple[Address, AddressOwner]] = field(default_factory=list)


def name_entries(
    service: ServiceEndpoint | None,
    endpoints: Iterable[TaskEndpoint],
    networks: Mapping[str, NetworkAssignment],
    *,
    ipv6: bool,
) -> NameEntries:
    """Entries of a service and some of its endpoints. Addresses must be valid, as `overlay_tables` has checked.

    Args:
        networks: all, by id; others, and the mesh's, get no entries.
        ipv6: whether the node has IPv6; otherwise IPv6 addresses are left out.
    """
    found = NameEntries()
    named = {key for key, network in networks.items() if not network.mesh}
    virtual = _virtual_addresses(service, named, ipv6) if service is not None else {}
    for network_id, virtual_addresses in virtual.items():
        assert service is not None
        found.names.append((network_id, service.service_name.lower(), ()))
        found.fallbacks.append((network_id, service.service_name.lower(), virtual_addresses))
        owner = AddressOwner(network_id, service.service_name, {})
        found.owners.extend((address, owner) for address in virtual_addresses)
    for endpoint in endpoints:
        ports = _ports(endpoint)
        for task_address in endpoint.addresses:
            if task_address.network_id in named:
                _add_endpoint(found, endpoint, task_address, virtual.get(task_address.network_id, ()), ports, ipv6)
    return found


def _add_endpoint(
    found: NameEntries,
    endpoint: TaskEndpoint,
    task_address: TaskAddress,
    virtual_addresses: tuple[Address, ...],
    ports: Mapping[PortKey, int],
    ipv6: bool,
) -> None:
    addresses = _addresses(task_address, ipv6)
    ready = addresses if endpoint.ready else ()
    for name, is_service_name in _names(endpoint, task_address.network_id).items():
        if virtual_addresses and is_service_name:
            found.fallbacks.append((task_address.network_id, name, virtual_addresses))
        found.names.append(
            (
                task_address.network_id,
                name,
                virtual_addresses if ready and is_service_name and virtual_addresses else ready,
            )
        )
    owner = AddressOwner(task_address.network_id, _task_name(endpoint), ports, zero_ttl=bool(virtual_addresses))
    found.owners.extend((address, owner) for address in addresses)


def _addresses(given: TaskAddress | VirtualAddress, ipv6: bool) -> tuple[Address, ...]:
    both = (given.address, given.address6) if given.address6 and ipv6 else (given.address,)
    return tuple(map(ip_address, both))


def _virtual_addresses(service: ServiceEndpoint, named: set[str], ipv6: bool) -> dict[str, tuple[Address, ...]]:
    """By network."""
    virtual = service.virtual_addresses
    return {each.network_id: _addresses(each, ipv6) for each in virtual if each.network_id in named}


def _ports(endpoint: TaskEndpoint) -> Mapping[PortKey, int]:
    """The same for all tasks of a service. A container's port takes precedence over the same number published."""
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

    True: a name of the service as a whole, which resolves to the virtual address where there is one.
    """
    service = endpoint.service_name
    found = {f"{service}.{endpoint.slot or endpoint.node_id}".lower(): False, _task_name(endpoint).lower(): False}
    aliases = endpoint.aliases[network_id].names if network_id in endpoint.aliases else ()
    for name in (service, *aliases):
        found.setdefault(f"tasks.{name}".lower(), False)
        found.setdefault(name.lower(), True)
    return found


def name_diff(before: Iterable[NameEntries], after: Iterable[NameEntries]) -> Diff[NameEntries]:
    """The entries that differ. Of an address that several tasks share all owners are on both sides, if any differs."""
    old, new = _joined(before), _joined(after)
    owners = _owner_diff(old.owners, new.owners)
    return Diff(
        NameEntries(_surplus(old.names, new.names), _surplus(old.fallbacks, new.fallbacks), owners.removed),
        NameEntries(_surplus(new.names, old.names), _surplus(new.fallbacks, old.fallbacks), owners.added),
    )


def _joined(parts: Iterable[NameEntries]) -> NameEntries:
    found = NameEntries()
    for part in parts:
        found.names.extend(part.names)
        found.fallbacks.extend(part.fallbacks)
        found.owners.extend(part.owners)
    return found


def _surplus(entries: list[NameEntry], others: list[NameEntry]) -> list[NameEntry]:
    """Entries that are more often on the one side than on the other."""
    return list((Counter(entries) - Counter(others)).elements()) if entries and others else entries


def _owner_diff(
    before: list[tuple[Address, AddressOwner]], after: list[tuple[Address, AddressOwner]]
) -> Diff[list[tuple[Address, AddressOwner]]]:
    """By address, since of several owners the last one counts."""
    old, new = _by_address(before), _by_address(after)
    return Diff(
        [(address, owner) for address, owners in old.items() if new.get(address) != owners for owner in owners],
        [(address, owner) for address, owners in new.items() if old.get(address) != owners for owner in owners],
    )


def _by_address(entries: list[tuple[Address, AddressOwner]]) -> dict[Address, list[AddressOwner]]:
    found: defaultdict[Address, list[AddressOwner]] = defaultdict(list)
    for address, owner in entries:
        found[address].append(owner)
    return found
