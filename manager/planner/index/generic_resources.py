"""Generic resources: what a node has of a kind, by name or by number, and what of it is in use.

A task that waits for preempted ones claims a number of a kind, also where the kind has names: they are released later.
"""

from collections.abc import Iterable, Mapping, Sequence

from shoal.api.v1.meta_pb2 import GenericResource


class GenericResourcePool:
    """What one node has, and what of it is in use. Claims outlive a kind that the agent no longer reports."""

    __slots__ = ("_counts", "_named", "_reserved", "_used")

    def __init__(self) -> None:
        self._named: dict[str, tuple[str, ...]] = {}
        self._counts: dict[str, int] = {}
        self._used: dict[str, frozenset[str]] = {}
        self._reserved: dict[str, int] = {}

    def set_total(self, resources: Iterable[GenericResource]) -> None:
        """Set what the node has."""
        self._named = {each.kind: tuple(each.names) for each in resources if each.names}
        self._counts = {each.kind: each.count for each in resources if not each.names}

    def available(self, kind: str, names: Sequence[str] = ()) -> int:
        """How many are free, of these names if any; below 0 when tasks wait for what preempted ones still have."""
        used = self._used.get(kind, frozenset())
        if names or kind in self._named:
            known = self._named.get(kind, ())
            return sum(name in known and name not in used for name in names or known) - self._reserved.get(kind, 0)
        return self._counts.get(kind, 0) - len(used) - self._reserved.get(kind, 0)

    def select(self, requested: Mapping[str, int], named: Mapping[str, Sequence[str]]) -> list[GenericResource]:
        """The resources for a task that requests so many of each kind, or these by name; there have to be enough."""
        return [self._choose(kind, number, named.get(kind, ())) for kind, number in requested.items()]

    def _choose(self, kind: str, number: int, names: Sequence[str]) -> GenericResource:
        if names:
            return GenericResource(kind=kind, names=names)
        if kind not in self._named:
            return GenericResource(kind=kind, count=number)
        free = [name for name in self._named[kind] if name not in self._used.get(kind, ())]
        return GenericResource(kind=kind, names=free[:number])

    def claim(self, given: Iterable[GenericResource]) -> None:
        """A task uses these from now on."""
        for each in given:
            if each.names:
                self._used[each.kind] = self._used.get(each.kind, frozenset()).union(each.names)
            else:
                self._reserved[each.kind] = self._reserved.get(each.kind, 0) + each.count

    def release(self, given: Iterable[GenericResource]) -> None:
        """The task that used these does not any more."""
        for each in given:
            if each.names:
                self._used[each.kind] = self._used.get(each.kind, frozenset()).difference(each.names)
            else:
                self._reserved[each.kind] = self._reserved.get(each.kind, 0) - each.count

    def claimed(self) -> list[GenericResource]:
        """What is in use, by kind."""
        found = [GenericResource(kind=kind, names=sorted(names)) for kind, names in self._used.items() if names]
        found += [GenericResource(kind=kind, count=number) for kind, number in self._reserved.items() if number]
        return sorted(found, key=lambda each: (each.kind, each.count))

    def claimed_by_kind(self) -> dict[str, frozenset[str] | int]:
        """What is in use, by kind."""
        named = {kind: names for kind, names in self._used.items() if names}
        return {**named, **{kind: number for kind, number in self._reserved.items() if number}}
