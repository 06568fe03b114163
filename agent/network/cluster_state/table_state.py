"""The overlay tables, updated in place; each update costs in proportion to its size.

They could be derived again for each comparison, instead of being held. For 5,000 endpoints that takes 24 ms, a sixth of
what the comparison itself takes when nothing differs (`python -m tests.bench network`), so they are held.
"""

from collections.abc import Iterable, Mapping
from typing import TypeVar

from agent.network.cluster_state.diff import Diff
from agent.network.cluster_state.overlay_tables import IngressMark, OverlaySubnet, OverlayTables
from agent.network.ip_types import Address

Key = TypeVar("Key")
Value = TypeVar("Value")


class TableState:
    """`current` is the current state, without encrypted networks; its mappings are changed in place."""

    def __init__(self) -> None:
        self._subnets: dict[str, OverlaySubnet] = {}
        self._peers: dict[Address, str] = {}
        self._routes: dict[Address, Address] = {}
        self._ingress_marks: dict[Address, IngressMark] = {}
        self.current = OverlayTables(self._subnets, self._peers, self._routes, self._ingress_marks)

    @property
    def has_ingress(self) -> bool:
        """Whether there are ingress marks."""
        return bool(self._ingress_marks)

    def apply(self, diff: Diff[OverlayTables]) -> None:
        """Apply a change of entries."""
        removed, added = diff.removed, diff.added
        _apply(self._subnets, removed.subnets, added.subnets)
        _apply(self._peers, removed.peers, added.peers)
        _apply(self._routes, removed.routes, added.routes)
        _apply(self._ingress_marks, removed.ingress_marks, added.ingress_marks)


def _apply(entries: dict[Key, Value], removed: Iterable[Key], added: Mapping[Key, Value]) -> None:
    for key in removed:
        entries.pop(key, None)
    entries.update(added)
