"""The overlay tables, updated in place; each update costs in proportion to its size."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TypeVar

from agent.network.cluster_state.encrypted_overlay import AddressMoves, EncryptedOverlay
from agent.network.cluster_state.overlay_tables import OverlaySubnet, OverlayTables, differing_parts
from agent.network.netlink.rtnetlink import Address

Key = TypeVar("Key")
Value = TypeVar("Value")


@dataclass(frozen=True)
class TableTransition:
    """From one state of the tables to the next.

    Attributes:
        before, after: parts of both that contain everything that differs, except for encrypted networks.
        encrypted: the whole of encrypted networks; None when nothing but `encrypted_moves` has changed.
        encrypted_moves: addresses on encrypted networks that are added, removed or moved to other nodes.
    """

    before: OverlayTables = field(default_factory=OverlayTables)
    after: OverlayTables = field(default_factory=OverlayTables)
    encrypted: EncryptedOverlay | None = None
    encrypted_moves: AddressMoves = field(default_factory=AddressMoves)

    @property
    def removed_addresses(self) -> frozenset[Address]:
        """Container addresses that no other node has any more."""
        old, new = (each.routes.keys() | each.encrypted.locations.keys() for each in (self.before, self.after))
        return frozenset(old - new)


class TableState:
    """`current` is the current state; its mappings are changed in place."""

    def __init__(self) -> None:
        self._subnets: dict[str, OverlaySubnet] = {}
        self._peers: dict[Address, str] = {}
        self._routes: dict[Address, Address] = {}
        self._ingress_marks: dict[Address, int] = {}
        self.current = OverlayTables(self._subnets, self._peers, self._routes, self._ingress_marks)

    def apply(self, transition: TableTransition) -> tuple[OverlayTables, OverlayTables]:
        """Apply a transition. Returns the differing parts of both sides."""
        before, after = transition.before, transition.after
        had_ingress = bool(self._ingress_marks)
        _update(self._subnets, before.subnets, after.subnets)
        _update(self._peers, before.peers, after.peers)
        _update(self._routes, before.routes, after.routes)
        _update(self._ingress_marks, before.ingress_marks, after.ingress_marks)
        has_ingress = bool(self._ingress_marks)
        self.current = replace(self.current, has_ingress=has_ingress)
        removed, added = differing_parts(before, after)
        return replace(removed, has_ingress=had_ingress), replace(added, has_ingress=has_ingress)


def _update(current: dict[Key, Value], before: Mapping[Key, Value], after: Mapping[Key, Value]) -> None:
    """Entries that are the same in both are skipped: in a part they may differ from those of the whole."""
    for key in before.keys() - after.keys():
        current.pop(key, None)
    current.update({key: value for key, value in after.items() if before.get(key) != value})
