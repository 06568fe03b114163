"""What one change of the cluster's records changes in the state that follows from them. A value."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from agent.network.cluster_state.diff import Diff
from agent.network.cluster_state.encrypted_overlay import NO_MOVES, AddressMoves, EncryptedOverlay
from agent.network.cluster_state.name_entries import NameEntries
from agent.network.cluster_state.overlay_tables import OverlayTables
from agent.network.cluster_state.service_map import ServiceMap
from agent.network.ip_types import Address
from shoal.api.v1.dispatcher_pb2 import NetworkAssignment


@dataclass(frozen=True)
class DerivedDiff:
    """The difference of the derived state.

    Attributes:
        tables: entries of the overlay tables.
        removed_addresses: container addresses that no other node has any more.
        encrypted: the whole of encrypted networks; None when nothing but `encrypted_moves` has changed.
        encrypted_moves: addresses on encrypted networks that are added, removed or moved to other nodes.
        services: backends by frontend, and targets on this node. A frontend that appears is a key of the added side
            alone, one that disappears of the removed side alone, and one whose backends change of both.
        names: name entries.
        networks: all, where one of them has changed; otherwise None.
    """

    tables: Diff[OverlayTables] = field(default_factory=lambda: Diff(OverlayTables(), OverlayTables()))
    removed_addresses: frozenset[Address] = frozenset()
    encrypted: EncryptedOverlay | None = None
    encrypted_moves: AddressMoves = NO_MOVES
    services: Diff[ServiceMap] = field(default_factory=lambda: Diff(ServiceMap(), ServiceMap()))
    names: Diff[NameEntries] = field(default_factory=lambda: Diff(NameEntries(), NameEntries()))
    networks: Sequence[NetworkAssignment] | None = None

    @property
    def only_removes_names(self) -> bool:
        """Whether names only lose addresses: applied before the kernel rejects clients."""
        known = set(_targets(self.names.removed))
        return bool(known) and all(each in known for each in _targets(self.names.added))


def _targets(entries: NameEntries) -> Iterator[tuple[str, str, Address]]:
    return ((network, name, each) for network, name, addresses in entries.names for each in addresses)
