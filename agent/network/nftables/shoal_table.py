"""Loads, updates and verifies the `inet shoal` table."""

import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from agent.network.nftables import set_elements
from agent.network.nftables.libnftables import Nftables
from agent.network.nftables.ruleset_generation import RulesetGeneration
from agent.network.well_known import FAMILY, TABLE
from shoal.errors import Unavailable

log = logging.getLogger(__name__)

TableStructure = Mapping[tuple[str, str], Any]
"""A table without its elements, by kind and name: of chains their rules too, as the kernel lists them."""


class ShoalTable:
    """Blocking; for the thread that created `nftables`, which the caller closes.

    Args:
        definition: the table without elements, as one transaction that replaces an earlier one.
        generation: of the kernel's ruleset. A verified table stays so while all transactions are ours: listing the many
            buckets of a large service takes a second, during which nothing can be changed.
    """

    def __init__(self, *, nftables: Nftables, definition: str, generation: RulesetGeneration) -> None:
        self._nftables = nftables
        self._definition = definition
        self._generation = generation
        self._verified: tuple[int, int] | None = None
        self._structure: TableStructure = {}

    def current(self) -> set_elements.Elements:
        """The elements that it holds."""
        return set_elements.parse_listing(self._list())

    def load(
        self, desired: set_elements.Elements, *, outdated: set_elements.Elements = set_elements.NO_ELEMENTS
    ) -> None:
        """Load our rules, replacing an earlier process's. Its elements stay, except for outdated ones, so that traffic
        continues until the records are received again.

        Raises:
            Unavailable: the kernel refused.
        """
        current = set_elements.difference(self.current(), outdated)
        try:
            self._load_table(set_elements.merge(current, desired))
        except Unavailable as error:
            if not any(current.values()):
                raise
            log.warning("Dropping incompatible elements of an earlier version of the nftables table: %s", error)
            self._load_table(desired)

    def change(self, before: set_elements.Elements, after: set_elements.Elements) -> None:
        """Replace some elements with others.

        Raises:
            Unavailable: refused, since another program changed the table; nothing was changed.
        """
        if not (command := set_elements.transaction(before, after)):
            return
        known, self._verified = self._verified, None
        first = self._generation()
        self._nftables.run(command)
        if known is not None and (known[0], self._generation()) == (first, first + 1):
            self._verified = (first + 1, known[1] - _digest(before, after) + _digest(after, before))

    def keep_attachments(self, attachments: set_elements.Elements) -> None:
        """Keep only these of the elements of this node's tasks."""
        self.change(set_elements.task_part(self.current()), set_elements.task_part(attachments))

    def repair(self, desired: set_elements.Elements) -> list[str]:
        """Repair what differs; returns one line for each repair.

        Raises:
            Unavailable: the kernel refused.
        """
        verified = (self._generation(), _digest(desired))
        if verified == self._verified:
            return []
        objects = self._list()
        if differing := sorted(_differing(self._structure, table_structure(objects))):
            self._load_table(desired)
            return [f"nftables table {TABLE} was missing or its rules were changed: {_first_of(differing)}"]
        if not (command := set_elements.transaction(set_elements.parse_listing(objects), desired)):
            self._verified = verified
            return []
        self._nftables.run(command)
        return [f"elements of nftables table {TABLE} were changed; repaired: {command.splitlines()[0][:200]}"]

    def _load_table(self, elements: set_elements.Elements) -> None:
        """Load rules and elements in one transaction: the table never exists without its elements."""
        self._verified = None
        first = self._generation()
        self._nftables.run(self._definition + set_elements.transaction(set_elements.NO_ELEMENTS, elements))
        self._structure = table_structure(self._list())
        if self._generation() == first + 1:
            self._verified = (first + 1, _digest(elements))

    def _list(self) -> Sequence[Mapping[str, Any]]:
        return self._nftables.list_table(FAMILY, TABLE)


def table_structure(objects: Iterable[Mapping[str, Any]]) -> TableStructure:
    """A listing (libnftables-json(5)) without elements and without the numbers that the kernel assigns. Pure."""
    found: dict[tuple[str, str], Any] = {}
    rules: dict[tuple[str, str], list[Any]] = {}
    for entry in objects:
        for kind in ("table", "chain", "set", "map"):
            if (body := entry.get(kind)) is not None:
                found[kind, body["name"]] = {key: body[key] for key in body.keys() - {"handle", "elem"}}
        if (rule := entry.get("rule")) is not None:
            body = {key: rule[key] for key in rule.keys() - {"handle", "index"}}
            rules.setdefault(("rules", rule["chain"]), []).append(body)
    return {**found, **rules}


def _digest(elements: set_elements.Elements, without: set_elements.Elements = set_elements.NO_ELEMENTS) -> int:
    """A digest of elements; that of a union of disjoint ones is the sum of their digests."""
    none: frozenset[str] = frozenset()
    return sum(hash((name, each)) for name, values in elements.items() for each in values - without.get(name, none))


def _differing(left: TableStructure, right: TableStructure) -> Iterable[tuple[str, str]]:
    return (key for key in left.keys() | right.keys() if left.get(key) != right.get(key))


def _first_of(keys: Sequence[tuple[str, str]]) -> str:
    more = f" (and {len(keys) - 1} more)" if len(keys) > 1 else ""
    return " ".join(keys[0]) + more
