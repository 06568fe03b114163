"""Generic resources: what a node has of a kind, by name or by number, and what of it tasks hold.

A task that waits for room holds a number of a kind, also where others are known by name: its names come free later.
"""

from collections.abc import Iterable, Mapping, Sequence

from shoal.api.v1.meta_pb2 import GenericResource


class GenericResourcePool:
    """What one node has, and what is held of it. Holdings outlive a kind that the agent no longer tells of."""

    __slots__ = ("_counts", "_held", "_named", "_taken")

    def __init__(self) -> None:
        self._named: dict[str, tuple[str, ...]] = {}
        self._counts: dict[str, int] = {}
        self._taken: dict[str, frozenset[str]] = {}
        self._held: dict[str, int] = {}

    def set_total(self, resources: Iterable[GenericResource]) -> None:
        """Set what the node has."""
        self._named = {each.kind: tuple(each.names) for each in resources if each.names}
        self._counts = {each.kind: each.count for each in resources if not each.names}

    def available(self, kind: str, names: Sequence[str] = ()) -> int:
        """How many nobody holds, of these names if any are given; below 0 when tasks wait for what others have."""
        taken = self._taken.get(kind, frozenset())
        if names or kind in self._named:
            known = self._named.get(kind, ())
            return sum(name in known and name not in taken for name in names or known) - self._held.get(kind, 0)
        return self._counts.get(kind, 0) - len(taken) - self._held.get(kind, 0)

    def select(self, wanted: Mapping[str, int], named: Mapping[str, Sequence[str]]) -> list[GenericResource]:
        """What a task is given that wants so many of each kind, or these by name; there have to be enough."""
        return [self._choose(kind, number, named.get(kind, ())) for kind, number in wanted.items()]

    def _choose(self, kind: str, number: int, names: Sequence[str]) -> GenericResource:
        if names:
            return GenericResource(kind=kind, names=names)
        if kind not in self._named:
            return GenericResource(kind=kind, count=number)
        free = [name for name in self._named[kind] if name not in self._taken.get(kind, ())]
        return GenericResource(kind=kind, names=free[:number])

    def claim(self, given: Iterable[GenericResource]) -> None:
        """A task holds these from now on."""
        for each in given:
            if each.names:
                self._taken[each.kind] = self._taken.get(each.kind, frozenset()).union(each.names)
            else:
                self._held[each.kind] = self._held.get(each.kind, 0) + each.count

    def release(self, given: Iterable[GenericResource]) -> None:
        """The task that held these does not any more."""
        for each in given:
            if each.names:
                self._taken[each.kind] = self._taken.get(each.kind, frozenset()).difference(each.names)
            else:
                self._held[each.kind] = self._held.get(each.kind, 0) - each.count

    def claimed(self) -> list[GenericResource]:
        """What is held, by kind."""
        found = [GenericResource(kind=kind, names=sorted(names)) for kind, names in self._taken.items() if names]
        found += [GenericResource(kind=kind, count=number) for kind, number in self._held.items() if number]
        return sorted(found, key=lambda each: (each.kind, each.count))

    def claimed_by_kind(self) -> dict[str, frozenset[str] | int]:
        """What is held, by kind."""
        named = {kind: names for kind, names in self._taken.items() if names}
        return {**named, **{kind: number for kind, number in self._held.items() if number}}
