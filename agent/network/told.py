"""What managers told of the cluster, by key; and of a change, the records that it may give another meaning.

What follows from the records (`tables`, `frontends`, `dns.claims`) is a sum over endpoints, each with its networks, its
node and its service. So the difference that a change makes is that between the sums over some of them, before and
after: `parts` says over which. The invariant that the tests hold it to: sums kept by such differences are those over
all.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TypeVar

from agent.worker.table_change import TableChange
from shoal.api.v1.dispatcher_pb2 import NetworkAssignment, Peer, ServiceEndpoint, TaskEndpoint

R = TypeVar("R")
Index = defaultdict[str, set[str]]
"""Keys of endpoints, by what they depend on."""


@dataclass(frozen=True)
class Part:
    """Some of the records.

    Attributes:
        networks: all, by id.
        places, peers: all when a network or a node has changed; else those of the endpoints, before and after.
        endpoints: with all others that have an address of theirs.
        services: by id: those of the endpoints, and those that are meant anew themselves.
    """

    networks: Mapping[str, NetworkAssignment]
    places: Sequence[NetworkAssignment]
    peers: Sequence[Peer]
    endpoints: Sequence[TaskEndpoint]
    services: Mapping[str, ServiceEndpoint]

    def by_service(self) -> Iterator[tuple[ServiceEndpoint | None, list[TaskEndpoint]]]:
        """Endpoints with the service that they are of; None for those of none that is told."""
        own: defaultdict[str, list[TaskEndpoint]] = defaultdict(list)
        for endpoint in self.endpoints:
            own[endpoint.service_id].append(endpoint)
        for service_id in self.services.keys() | own.keys():
            yield self.services.get(service_id), own.get(service_id, [])


class Told:
    """The records, with indexes from each to the endpoints whose meaning depends on it."""

    def __init__(self) -> None:
        self.networks: dict[str, NetworkAssignment] = {}
        self.endpoints: dict[str, TaskEndpoint] = {}
        self.peers: dict[str, Peer] = {}
        self.services: dict[str, ServiceEndpoint] = {}
        self._by_node, self._by_service = Index(set), Index(set)
        self._by_network, self._by_address = Index(set), Index(set)

    def on_networks(self, network_ids: Iterable[str]) -> list[TaskEndpoint]:
        """The endpoints on these networks, in the order of a part's."""
        keys = {key for network_id in network_ids for key in self._by_network.get(network_id, ())}
        return _ordered(self.endpoints[key] for key in keys)

    def parts(self, change: TableChange) -> tuple[Part, Part]:
        """The records whose meaning a change touches, as they are and as they will be. Nothing is changed."""
        meant_anew = [key for key, new in change.networks.items() if _scope(self.networks.get(key)) != _scope(new)]
        touched = self._touched(change, meant_anew)
        both = [*_chosen(self.endpoints, touched).values(), *filter(None, change.endpoints.values())]
        services = {each.service_id for each in both} | change.services.keys()
        if meant_anew:
            services |= self.services.keys()
        if change.networks or change.peers:
            nodes, places = self.peers.keys() | change.peers.keys(), self.networks.keys() | change.networks.keys()
        else:
            nodes = {each.node_id for each in both}
            places = {place.network_id for each in both for place in each.addresses}
        return (
            self._part(TableChange(), nodes, places, touched, services),
            self._part(change, nodes, places, touched, services),
        )

    def _touched(self, change: TableChange, networks: Iterable[str]) -> set[str]:
        moved = set(_found(self._by_node, (key for key, new in change.peers.items() if self.peers.get(key) != new)))
        known = _chosen(self.endpoints, moved | change.endpoints.keys()).values()
        endpoints = [*known, *filter(None, change.endpoints.values())]
        return {
            *change.endpoints,
            *moved,
            *_found(self._by_service, change.services),
            *_found(self._by_network, networks),
            # Another task may have the same address, while one takes over from the other.
            *_found(self._by_address, chain.from_iterable(map(_addresses, endpoints))),
        }

    def _part(
        self,
        change: TableChange,
        nodes: Iterable[str],
        places: Iterable[str],
        endpoints: Collection[str],
        services: Collection[str],
    ) -> Part:
        networks = _after(self.networks, change.networks)
        found = _after(_chosen(self.endpoints, endpoints), _chosen(change.endpoints, endpoints)).values()
        return Part(
            networks=networks,
            places=list(_chosen(networks, places).values()),
            peers=list(_chosen(_after(self.peers, change.peers), nodes).values()),
            endpoints=_ordered(found),
            services=_after(_chosen(self.services, services), _chosen(change.services, services)),
        )

    def take(self, change: TableChange) -> None:
        """Go to the records after a change."""
        for key, new in change.endpoints.items():
            if (old := self.endpoints.pop(key, None)) is not None:
                for index, group in self._places(old):
                    index[group].discard(key)
                    if not index[group]:
                        del index[group]
            if new is not None:
                self.endpoints[key] = new
                for index, group in self._places(new):
                    index[group].add(key)
        _put(self.networks, change.networks)
        _put(self.peers, change.peers)
        _put(self.services, change.services)

    def _places(self, endpoint: TaskEndpoint) -> Iterator[tuple[Index, str]]:
        yield self._by_node, endpoint.node_id
        yield self._by_service, endpoint.service_id
        yield from ((self._by_network, network_id) for network_id in {each.network_id for each in endpoint.addresses})
        yield from ((self._by_address, text) for text in set(_addresses(endpoint)))


def _ordered(endpoints: Iterable[TaskEndpoint]) -> list[TaskEndpoint]:
    """The one that is ready comes last, and so has an address that two claim."""
    return sorted(endpoints, key=lambda each: (each.ready, each.task_id))


def _scope(network: NetworkAssignment | None) -> NetworkAssignment | None:
    """What of a network decides the meaning of the endpoints on it: all but how far it reaches."""
    if network is None:
        return None
    copy = NetworkAssignment()
    copy.CopyFrom(network)
    for name in ("subnet", "block", "subnet6"):
        copy.ClearField(name)
    return copy


def _addresses(endpoint: TaskEndpoint) -> Iterator[str]:
    return (text for place in endpoint.addresses for text in (place.address, place.address6) if text)


def _found(index: Index, groups: Iterable[str]) -> Iterator[str]:
    return chain.from_iterable(index.get(group, ()) for group in groups)


def _chosen(known: Mapping[str, R], keys: Iterable[str]) -> dict[str, R]:
    return {key: known[key] for key in keys if key in known}


def _after(known: Mapping[str, R], change: Mapping[str, R | None]) -> Mapping[str, R]:
    if not change:
        return known
    return {key: value for key, value in {**known, **change}.items() if value is not None}


def _put(known: dict[str, R], change: Mapping[str, R | None]) -> None:
    for key, value in change.items():
        if value is None:
            known.pop(key, None)
        else:
            known[key] = value
