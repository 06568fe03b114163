"""The tables of the cluster as a value that follows changes, each by work in proportion to it."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TypeVar

from agent.network.encryption.sealed import Moves, Sealed
from agent.network.netlink.messages import Address
from agent.network.tables import Subnet, Tables, without_common

Key = TypeVar("Key")
Value = TypeVar("Value")


@dataclass(frozen=True)
class Step:
    """From one state of the tables to the next.

    Attributes:
        before, after: parts of both that hold all that differs, but for what is encrypted.
        sealed: what is to be encrypted now, whole; None when that is as it was but for `moves`.
        moves: addresses on encrypted networks that go to other nodes, come and go.
    """

    before: Tables = field(default_factory=Tables)
    after: Tables = field(default_factory=Tables)
    sealed: Sealed | None = None
    moves: Moves = field(default_factory=Moves)

    @property
    def gone(self) -> frozenset[Address]:
        """Containers' addresses that no other node has any more."""
        was, now = (each.routes.keys() | each.sealed.places.keys() for each in (self.before, self.after))
        return frozenset(was - now)


class LiveTables:
    """`whole` is the current state; its mappings are changed in place."""

    def __init__(self) -> None:
        self._subnets: dict[str, Subnet] = {}
        self._peers: dict[Address, str] = {}
        self._routes: dict[Address, Address] = {}
        self._entries: dict[Address, int] = {}
        self.whole = Tables(self._subnets, self._peers, self._routes, self._entries)

    def take(self, step: Step) -> tuple[Tables, Tables]:
        """Go a step on. Returns what differs of both sides of it, as parts of the whole."""
        before, after = step.before, step.after
        had_entries = bool(self._entries)
        _go_on(self._subnets, before.subnets, after.subnets)
        _go_on(self._peers, before.peers, after.peers)
        _go_on(self._routes, before.routes, after.routes)
        _go_on(self._entries, before.entries, after.entries)
        has_entries = bool(self._entries)
        self.whole = replace(self.whole, has_entries=has_entries)
        was, will_be = without_common(before, after)
        return replace(was, has_entries=had_entries), replace(will_be, has_entries=has_entries)


def _go_on(whole: dict[Key, Value], before: Mapping[Key, Value], after: Mapping[Key, Value]) -> None:
    """What is the same in both is not looked at: of a part it may be said otherwise than of the whole."""
    for key in before.keys() - after.keys():
        whole.pop(key, None)
    whole.update({key: value for key, value in after.items() if before.get(key) != value})
