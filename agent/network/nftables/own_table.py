"""The node's own table in the kernel: loaded once, then changed by elements, and compared with what was loaded."""

import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from agent.network.names import FAMILY, TABLE
from agent.network.nftables import elements as nft
from agent.network.nftables.generation import Generation
from agent.network.nftables.libnftables import Nftables
from shoal.errors import Unavailable

log = logging.getLogger(__name__)

Skeleton = Mapping[tuple[str, str], Any]
"""All of a table but the elements, by kind and name: of chains their rules too, in the kernel's own words."""


class OwnTable:
    """Blocking; for the thread that made `nftables`, which stays the caller's.

    Args:
        definition: the table without elements, as one transaction that takes the place of an older one.
        generation: of the kernel's tables. What was right stays so while all transactions are ours: a listing of the
            many slots of a large service costs a second, in which nothing is changed.
    """

    def __init__(self, *, nftables: Nftables, definition: str, generation: Generation) -> None:
        self._nftables = nftables
        self._definition = definition
        self._generation = generation
        self._right: tuple[int, int] | None = None
        self._loaded: Skeleton = {}

    def present(self) -> nft.Elements:
        """What it holds."""
        return nft.listed(self._list())

    def begin(self, wanted: nft.Elements, *, outdated: nft.Elements = nft.NONE) -> None:
        """Load our rules in the place of an earlier process's, whatever those say. Its elements stay, since they keep
        working until the planner's tables are told again, but for the outdated ones.

        Raises:
            Unavailable: the kernel refused.
        """
        present = nft.without(self.present(), outdated)
        try:
            self._load(nft.merged(present, wanted))
        except Unavailable as error:
            if not any(present.values()):
                raise
            log.warning(
                "The elements of an earlier version of our nftables table do not fit, and are dropped: %s", error
            )
            self._load(wanted)

    def change(self, before: nft.Elements, after: nft.Elements) -> None:
        """Go from some elements to others.

        Raises:
            Unavailable: refused, since the table is not as we left it; nothing was changed.
        """
        if not (command := nft.transaction(before, after)):
            return
        known, self._right = self._right, None
        first = self._generation()
        self._nftables.run(command)
        if known is not None and (known[0], self._generation()) == (first, first + 1):
            self._right = (first + 1, known[1] - _digest(before, after) + _digest(after, before))

    def keep_only(self, attachments: nft.Elements) -> None:
        """Of the elements that are of this node's tasks, these alone."""
        self.change(nft.of_tasks(self.present()), nft.of_tasks(attachments))

    def repair(self, wanted: nft.Elements) -> list[str]:
        """Set right what differs; what was wrong, in a line each.

        Raises:
            Unavailable: the kernel refused.
        """
        right = (self._generation(), _digest(wanted))
        if right == self._right:
            return []
        objects = self._list()
        if differing := sorted(_differing(self._loaded, skeleton(objects))):
            self._load(wanted)
            return [f"the nftables table {TABLE} was missing or its rules were changed: {_named(differing)}"]
        if not (command := nft.transaction(nft.listed(objects), wanted)):
            self._right = right
            return []
        self._nftables.run(command)
        return [f"elements of the nftables table {TABLE} differed: {command.splitlines()[0][:200]}"]

    def _load(self, elements: nft.Elements) -> None:
        """Rules and elements in one transaction: at no moment is there a table without its elements."""
        self._right = None
        first = self._generation()
        self._nftables.run(self._definition + nft.transaction(nft.NONE, elements))
        self._loaded = skeleton(self._list())
        if self._generation() == first + 1:
            self._right = (first + 1, _digest(elements))

    def _list(self) -> Sequence[Mapping[str, Any]]:
        return self._nftables.list_table(FAMILY, TABLE)


def skeleton(objects: Iterable[Mapping[str, Any]]) -> Skeleton:
    """What a listing (libnftables-json(5)) has besides elements, without the numbers that the kernel gives. Pure."""
    found: dict[tuple[str, str], Any] = {}
    rules: dict[tuple[str, str], list[Any]] = {}
    for entry in objects:
        for kind in ("table", "chain", "set", "map"):
            if (body := entry.get(kind)) is not None:
                found[kind, body["name"]] = {key: body[key] for key in body.keys() - {"handle", "elem"}}
        if (rule := entry.get("rule")) is not None:
            said = {key: rule[key] for key in rule.keys() - {"handle", "index"}}
            rules.setdefault(("rules", rule["chain"]), []).append(said)
    return {**found, **rules}


def _digest(elements: nft.Elements, without: nft.Elements = nft.NONE) -> int:
    """Tells elements from others; that of two sums together is the sum of theirs."""
    none: frozenset[str] = frozenset()
    return sum(hash((name, each)) for name, values in elements.items() for each in values - without.get(name, none))


def _differing(left: Skeleton, right: Skeleton) -> Iterable[tuple[str, str]]:
    return (key for key in left.keys() | right.keys() if left.get(key) != right.get(key))


def _named(keys: Sequence[tuple[str, str]]) -> str:
    more = f" (and {len(keys) - 1} more)" if len(keys) > 1 else ""
    return " ".join(keys[0]) + more
