"""Derives overlay tables, service map and DNS entries from the cluster's records, incrementally."""

from collections.abc import Iterator
from dataclasses import dataclass

from agent.assignments.cluster_diff import ClusterDiff
from agent.network.cluster_state.cluster_records import AffectedRecords, ClusterRecords
from agent.network.cluster_state.derived_diff import DerivedDiff
from agent.network.cluster_state.diff import mapping_diff
from agent.network.cluster_state.encrypted_overlay import (
    NO_MOVES,
    AddressMoves,
    EncryptedOverlay,
    encrypted_network_ids,
    encrypted_overlay,
)
from agent.network.cluster_state.name_entries import NameEntries, name_diff, name_entries
from agent.network.cluster_state.overlay_tables import OverlayTables, overlay_tables, removed_addresses, table_diff
from agent.network.cluster_state.service_map import ServiceMap, service_map
from agent.network.cluster_state.service_map_state import ServiceMapState


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

    def apply(self, change: ClusterDiff) -> DerivedDiff:
        """Apply a change of the records.

        Raises:
            InvalidInput: the records would be invalid; nothing is changed.
        """
        before, after = self.records.affected(change)
        old, new = self._derive(before), self._derive(after)
        self.records.apply(change)
        encrypted, moves = self._encrypted_change(change, before, after, old, new)
        return DerivedDiff(
            tables=table_diff(old.tables, new.tables),
            removed_addresses=removed_addresses(old.tables, new.tables),
            encrypted=encrypted,
            encrypted_moves=moves,
            services=self._services.apply(old.service_maps, new.service_maps),
            names=name_diff(old.name_entries, new.name_entries),
            networks=list(after.networks.values()) if change.networks else None,
        )

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
            return None, mapping_diff(old.tables.encrypted.locations, new.tables.encrypted.locations)
        has_encrypted = encrypted_network_ids(before.endpoint_networks) or encrypted_network_ids(
            after.endpoint_networks
        )
        return self._encrypted_overlay() if has_encrypted else None, NO_MOVES

    def _encrypted_overlay(self) -> EncryptedOverlay:
        """The whole: there is one for all encrypted networks."""
        networks = list(self.records.networks.values())
        endpoints = self.records.on_networks(encrypted_network_ids(networks))
        return encrypted_overlay(networks, endpoints, list(self.records.peers.values()), self._node_id, ipv6=self._ipv6)
