"""The zone: addresses by name and network, updated incrementally."""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_network

from agent.network.cluster_state.diff import Diff
from agent.network.cluster_state.name_entries import AddressOwner, NameEntries, name_diff, name_entries
from agent.network.ip_types import Address, Network
from shoal.api.v1.dispatcher_pb2 import NetworkAssignment, ServiceEndpoint, TaskEndpoint

Addresses = Sequence[Address]
"""Of both families."""


@dataclass(frozen=True)
class Zone:
    """All names of the node's networks. A name whose tasks are not ready exists, without addresses.

    Attributes:
        names: addresses by lower-case name, by network id.
        owners: the task or service that has an address.
        subnets: prefixes of all networks: reverse queries in them are never forwarded.
        fallbacks: addresses of names without any, in the same form: a name that services share resolves to those of
            them that have a ready task, where there are any.
    """

    names: Mapping[str, Mapping[str, Collection[Address]]] = field(default_factory=dict)
    owners: Mapping[Address, AddressOwner] = field(default_factory=dict)
    subnets: Sequence[Network] = ()
    fallbacks: Mapping[str, Mapping[str, Collection[Address]]] = field(default_factory=dict)

    def find(self, name: str, networks: Iterable[str]) -> Addresses | None:
        """Addresses of a name on the first of the networks that has it; None when none does."""
        known = [network for network in networks if name in self.names.get(network, ())]
        if not known:
            return None
        return tuple(self.names[known[0]][name]) or self._fallback(name, known)

    def _fallback(self, name: str, networks: Sequence[str]) -> Addresses:
        """Where no task is ready on the first network: the same service on another one, otherwise its fallbacks.

        So clients on both networks reach a service that moves between them task by task.
        """
        fallbacks = tuple(self.fallbacks.get(networks[0], {}).get(name, ()))
        waiting = {self.owners[address].name for address in fallbacks}
        for network in networks[1:]:
            found = tuple(self.names[network][name])
            if any(address in self.owners and self.owners[address].name in waiting for address in found):
                return found
        return fallbacks

    def task_addresses(self, name: str, networks: Iterable[str]) -> Addresses | None:
        """As `find`, but always the tasks' addresses, where the plain name may resolve to a virtual address."""
        ordered = tuple(networks)
        found = self.find(f"tasks.{name}", ordered)
        return found if found is not None else self.find(name, ordered)

    def owner_name(self, address: Address, networks: Collection[str]) -> str | None:
        """The name of the task that has the address, when it is on one of the networks."""
        owner = self.owners.get(address)
        return owner.name if owner is not None and owner.network in networks else None

    def ttl_for(self, addresses: Iterable[Address], ttl: int) -> int:
        """How long clients may cache these, seconds: `ttl`, or 0 where one of them must not be cached."""
        owners = (self.owners.get(address) for address in addresses)
        return 0 if any(owner is not None and owner.zero_ttl for owner in owners) else ttl

    def covers(self, address: Address) -> bool:
        return any(address in subnet for subnet in self.subnets)


class ZoneState:
    """A zone that is updated by differences. `zone` is always the current one.

    An entry that was added several times stays until it has been removed as often.
    """

    def __init__(self, *, ipv6: bool) -> None:
        self._ipv6 = ipv6
        self._names, self._fallbacks = _NameCounts(), _NameCounts()
        self._owners: dict[Address, AddressOwner] = {}
        self._owner_counts: Counter[Address] = Counter()
        self.zone = self._zone(())

    def apply(self, diff: Diff[NameEntries], networks: Iterable[NetworkAssignment] | None) -> None:
        """Remove and add entries.

        Args:
            networks: all, where one of them has changed; otherwise None.
        """
        self._remove(diff.removed)
        self._add(diff.added)
        if networks is not None:
            self.zone = self._zone(self._prefixes(networks))

    def _prefixes(self, networks: Iterable[NetworkAssignment]) -> Sequence[Network]:
        both = (text for each in networks for text in (each.subnet, each.subnet6 if self._ipv6 else "") if text)
        return tuple(map(ip_network, both))

    def _zone(self, subnets: Sequence[Network]) -> Zone:
        return Zone(self._names.by_network, self._owners, subnets, self._fallbacks.by_network)

    def _remove(self, entries: NameEntries) -> None:
        self._names.remove(entries.names)
        self._fallbacks.remove(entries.fallbacks)
        for address, _ in entries.owners:
            self._owner_counts[address] -= 1
            if not self._owner_counts[address]:
                del self._owner_counts[address], self._owners[address]

    def _add(self, entries: NameEntries) -> None:
        self._names.add(entries.names)
        self._fallbacks.add(entries.fallbacks)
        for address, owner in entries.owners:
            self._owner_counts[address] += 1
            self._owners[address] = owner


class _NameCounts:
    """Reference counts of names and their addresses."""

    def __init__(self) -> None:
        self.by_network: defaultdict[str, dict[str, dict[Address, int]]] = defaultdict(dict)
        self._references: Counter[tuple[str, str]] = Counter()

    def remove(self, entries: Iterable[tuple[str, str, Iterable[Address]]]) -> None:
        for network_id, name, addresses in entries:
            known = self.by_network[network_id][name]
            for address in addresses:
                known[address] -= 1
                if not known[address]:
                    del known[address]
            self._references[network_id, name] -= 1
            if not self._references[network_id, name]:
                del self._references[network_id, name], self.by_network[network_id][name]

    def add(self, entries: Iterable[tuple[str, str, Iterable[Address]]]) -> None:
        for network_id, name, addresses in entries:
            known = self.by_network[network_id].setdefault(name, {})
            for address in addresses:
                known[address] = known.get(address, 0) + 1
            self._references[network_id, name] += 1


def build_zone(
    networks: Sequence[NetworkAssignment],
    endpoints: Sequence[TaskEndpoint],
    services: Sequence[ServiceEndpoint] = (),
    *,
    ipv6: bool = True,
) -> Zone:
    """The zone of these endpoints and services. Addresses must be valid, as `overlay_tables` has checked."""
    state, known = ZoneState(ipv6=ipv6), {network.network_id: network for network in networks}
    own: defaultdict[str, list[TaskEndpoint]] = defaultdict(list)
    for endpoint in endpoints:
        own[endpoint.service_id].append(endpoint)
    records = {service.service_id: service for service in services}
    entries = (
        name_entries(records.get(service_id), own.get(service_id, ()), known, ipv6=ipv6)
        for service_id in dict.fromkeys((*records, *own))
    )
    state.apply(name_diff((), entries), networks)
    return state.zone
