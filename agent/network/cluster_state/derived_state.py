"""Derives overlay tables, service map and DNS entries from the cluster's records, incrementally."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from agent.assignments.cluster_diff import ClusterDiff
from agent.network.cluster_state.cluster_records import AffectedRecords, ClusterRecords
from agent.network.cluster_state.encrypted_overlay import (
    AddressMoves,
    EncryptedOverlay,
    address_moves,
    encrypted_network_ids,
    encrypted_overlay,
)
from agent.network.cluster_state.name_entries import NameEntries, name_entries
from agent.network.cluster_state.overlay_tables import OverlayTables, overlay_tables
from agent.network.cluster_state.service_map import ServiceMap, service_map
from agent.network.cluster_state.service_map_state import ServiceMapState
from agent.network.cluster_state.table_state import TableTransition
from agent.network.netlink.rtnetlink import Address
from shoal.api.v1.dispatcher_pb2 import NetworkAssignment


@dataclass(frozen=True)
class DerivedChange:
    """What one change of the records changes in the derived state.

    Attributes:
        networks: all, where one of them has changed; otherwise None.
        services: all; unchanged backends are shared with the previous one.
        removed_names, added_names: name entries before and after; one pair for each service.
    """

    transition: TableTransition
    networks: list[NetworkAssignment] | None
    services: ServiceMap
    removed_names: list[NameEntries]
    added_names: list[NameEntries]

    @property
    def only_removes_names(self) -> bool:
        """Whether names only lose addresses: applied before the kernel rejects clients."""
        known = set(_targets(self.removed_names))
        return bool(known) and all(each in known for each in _targets(self.added_names))


def _targets(entries: Iterable[NameEntries]) -> Iterator[tuple[str, str, Address]]:
    return ((network, name, each) for one in entries for network, name, addresses in one.names for each in addresses)


@dataclass(frozen=True)
class _Derived:
    tables: OverlayTables
    service_maps: list[ServiceMap]
    name_entries: list[NameEntries]


class DerivedState:
    """For one thread.

    Args:
        node_id: this node's id.
        ipv6: whether this node has IPv6.
    """

    def __init__(self, *, node_id: str, ipv6: bool) -> None:
        self._node_id = node_id
        self._ipv6 = ipv6
        self._services = ServiceMapState()
        self.records = ClusterRecords()

    def apply(self, change: ClusterDiff) -> DerivedChange:
        """Apply a change of the records.

        Raises:
            InvalidInput: the records would be invalid; nothing is changed.
        """
        before, after = self.records.affected(change)
        old, new = self._derive(before), self._derive(after)
        self.records.apply(change)
        self._services.apply(old.service_maps, new.service_maps)
        transition = TableTransition(old.tables, new.tables, *self._encrypted_change(change, before, after, old, new))
        networks = list(after.networks.values()) if change.networks else None
        return DerivedChange(transition, networks, self._services.current, old.name_entries, new.name_entries)

    def _derive(self, records: AffectedRecords) -> _Derived:
        return _Derived(
            overlay_tables(records.endpoint_networks, records.endpoints, records.peers, self._node_id, ipv6=self._ipv6),
            list(self._service_maps(records)),
            [name_entries(service, own, records.networks, ipv6=self._ipv6) for service, own in records.by_service()],
        )

    def _service_maps(self, records: AffectedRecords) -> Iterator[ServiceMap]:
        """One per service, so that an entry of two services counts twice."""
        networks = list(records.networks.values())
        for service, own in records.by_service():
            if service is not None:
                yield service_map(networks, own, [service], self._node_id, ipv6=self._ipv6)

    def _encrypted_change(
        self, change: ClusterDiff, before: AffectedRecords, after: AffectedRecords, old: _Derived, new: _Derived
    ) -> tuple[EncryptedOverlay | None, AddressMoves]:
        """The whole where a network or a node has changed, otherwise the moves of addresses."""
        if not (change.networks or change.peers):
            return None, address_moves(old.tables.encrypted.locations, new.tables.encrypted.locations)
        has_encrypted = encrypted_network_ids(before.endpoint_networks) or encrypted_network_ids(
            after.endpoint_networks
        )
        return self._encrypted_overlay() if has_encrypted else None, AddressMoves()

    def _encrypted_overlay(self) -> EncryptedOverlay:
        """The whole: there is one for all encrypted networks."""
        networks = list(self.records.networks.values())
        endpoints = self.records.on_networks(encrypted_network_ids(networks))
        return encrypted_overlay(networks, endpoints, list(self.records.peers.values()), self._node_id, ipv6=self._ipv6)
