"""The cluster's records as received from managers, and which of them a change affects.

The derived state (`overlay_tables`, `service_map`, `name_entries`) is a sum over endpoints, each with its networks, its
node and its service. So the difference that a change makes is that between the sums over some of them, before and
after: `affected` selects them. Invariant, checked by the tests: sums maintained by such differences equal those over
all.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TypeVar

from agent.assignments.cluster_diff import ClusterDiff
from shoal.api.v1.dispatcher_pb2 import NetworkAssignment, Peer, ServiceEndpoint, TaskEndpoint

R = TypeVar("R")
Index = defaultdict[str, set[str]]
"""Keys of endpoints by what they depend on."""


@dataclass(frozen=True)
class AffectedRecords:
    """Some of the records.

    Attributes:
        networks: all, by id.
        endpoint_networks, peers: all when a network or a node has changed; otherwise those of the endpoints, before
            and after.
        endpoints: including all others that share an address with them.
        services: by id: those of the endpoints, and those that changed themselves.
    """

    networks: Mapping[str, NetworkAssignment]
    endpoint_networks: Sequence[NetworkAssignment]
    peers: Sequence[Peer]
    endpoints: Sequence[TaskEndpoint]
    services: Mapping[str, ServiceEndpoint]

    def by_service(self) -> Iterator[tuple[ServiceEndpoint | None, list[TaskEndpoint]]]:
        """Endpoints with their service; None for endpoints whose service is not known."""
        own: defaultdict[str, list[TaskEndpoint]] = defaultdict(list)
        for endpoint in self.endpoints:
            own[endpoint.service_id].append(endpoint)
        for service_id in self.services.keys() | own.keys():
            yield self.services.get(service_id), own.get(service_id, [])


class ClusterRecords:
    """The records, with indexes from each one to the endpoints that depend on it."""

    def __init__(self) -> None:
        self.networks: dict[str, NetworkAssignment] = {}
        self.endpoints: dict[str, TaskEndpoint] = {}
        self.peers: dict[str, Peer] = {}
        self.services: dict[str, ServiceEndpoint] = {}
        self._by_node, self._by_service = Index(set), Index(set)
        self._by_network, self._by_address = Index(set), Index(set)

    def on_networks(self, network_ids: Iterable[str]) -> list[TaskEndpoint]:
        """The endpoints on these networks, ordered as in `AffectedRecords`."""
        keys = {key for network_id in network_ids for key in self._by_network.get(network_id, ())}
        return _ordered(self.endpoints[key] for key in keys)

    def affected(self, change: ClusterDiff) -> tuple[AffectedRecords, AffectedRecords]:
        """The records that a change affects, before and after it. Nothing is changed."""
        rescoped = [key for key, new in change.networks.items() if _scope(self.networks.get(key)) != _scope(new)]
        affected = self._affected_endpoints(change, rescoped)
        endpoints = [*_select(self.endpoints, affected).values(), *filter(None, change.endpoints.values())]
        services = {each.service_id for each in endpoints} | change.services.keys()
        if rescoped:
            services |= self.services.keys()
        if change.networks or change.peers:
            nodes, network_ids = self.peers.keys() | change.peers.keys(), self.networks.keys() | change.networks.keys()
        else:
            nodes = {each.node_id for each in endpoints}
            network_ids = {task_address.network_id for each in endpoints for task_address in each.addresses}
        return (
            self._affected_part(ClusterDiff(), nodes, network_ids, affected, services),
            self._affected_part(change, nodes, network_ids, affected, services),
        )

    def _affected_endpoints(self, change: ClusterDiff, networks: Iterable[str]) -> set[str]:
        moved = set(_lookup(self._by_node, (key for key, new in change.peers.items() if self.peers.get(key) != new)))
        known = _select(self.endpoints, moved | change.endpoints.keys()).values()
        endpoints = [*known, *filter(None, change.endpoints.values())]
        return {
            *change.endpoints,
            *moved,
            *_lookup(self._by_service, change.services),
            *_lookup(self._by_network, networks),
            # Another task may have the same address while one replaces the other.
            *_lookup(self._by_address, chain.from_iterable(map(_addresses, endpoints))),
        }

    def _affected_part(
        self,
        change: ClusterDiff,
        nodes: Iterable[str],
        network_ids: Iterable[str],
        endpoints: Collection[str],
        services: Collection[str],
    ) -> AffectedRecords:
        networks = _merged(self.networks, change.networks)
        found = _merged(_select(self.endpoints, endpoints), _select(change.endpoints, endpoints)).values()
        return AffectedRecords(
            networks=networks,
            endpoint_networks=list(_select(networks, network_ids).values()),
            peers=list(_select(_merged(self.peers, change.peers), nodes).values()),
            endpoints=_ordered(found),
            services=_merged(_select(self.services, services), _select(change.services, services)),
        )

    def apply(self, change: ClusterDiff) -> None:
        """Apply a change to the records."""
        for key, new in change.endpoints.items():
            if (old := self.endpoints.pop(key, None)) is not None:
                for index, group in self._index_keys(old):
                    index[group].discard(key)
                    if not index[group]:
                        del index[group]
            if new is not None:
                self.endpoints[key] = new
                for index, group in self._index_keys(new):
                    index[group].add(key)
        _apply_change(self.networks, change.networks)
        _apply_change(self.peers, change.peers)
        _apply_change(self.services, change.services)

    def _index_keys(self, endpoint: TaskEndpoint) -> Iterator[tuple[Index, str]]:
        yield self._by_node, endpoint.node_id
        yield self._by_service, endpoint.service_id
        yield from ((self._by_network, network_id) for network_id in {each.network_id for each in endpoint.addresses})
        yield from ((self._by_address, text) for text in set(_addresses(endpoint)))


def _ordered(endpoints: Iterable[TaskEndpoint]) -> list[TaskEndpoint]:
    """Ready endpoints come last, so that one of them gets an address that two share."""
    return sorted(endpoints, key=lambda each: (each.ready, each.task_id))


def _scope(network: NetworkAssignment | None) -> NetworkAssignment | None:
    """The part of a network that affects the endpoints on it: everything but its extent."""
    if network is None:
        return None
    copy = NetworkAssignment()
    copy.CopyFrom(network)
    for name in ("subnet", "supernet", "subnet6"):
        copy.ClearField(name)
    return copy


def _addresses(endpoint: TaskEndpoint) -> Iterator[str]:
    return (
        text for task_address in endpoint.addresses for text in (task_address.address, task_address.address6) if text
    )


def _lookup(index: Index, groups: Iterable[str]) -> Iterator[str]:
    return chain.from_iterable(index.get(group, ()) for group in groups)


def _select(known: Mapping[str, R], keys: Iterable[str]) -> dict[str, R]:
    return {key: known[key] for key in keys if key in known}


def _merged(known: Mapping[str, R], change: Mapping[str, R | None]) -> Mapping[str, R]:
    if not change:
        return known
    return {key: value for key, value in {**known, **change}.items() if value is not None}


def _apply_change(known: dict[str, R], change: Mapping[str, R | None]) -> None:
    for key, value in change.items():
        if value is None:
            known.pop(key, None)
        else:
            known[key] = value
