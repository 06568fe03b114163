"""The service map as a sum over services, updated incrementally."""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable
from itertools import chain
from typing import Generic, TypeVar

from agent.network.cluster_state.diff import Diff
from agent.network.cluster_state.service_map import Frontend, ServiceMap

Key = TypeVar("Key")


class ServiceMapState:
    """The sum of the service maps of single services, which may share frontends and backends."""

    def __init__(self) -> None:
        self._frontends = _References[Frontend]()
        self._backends: defaultdict[Frontend, _References[str]] = defaultdict(_References)
        self._targets, self._targets6 = _References[str](), _References[str]()

    def apply(self, removed: Collection[ServiceMap], added: Collection[ServiceMap]) -> Diff[ServiceMap]:
        """Subtract some service maps, and add others; what that changes in the sum.

        A frontend that appears is a key of the added side alone, one that disappears of the removed side alone, and one
        whose backends change of both.
        """
        old, new = _backends_by_frontend(removed), _backends_by_frontend(added)
        removed_frontends, added_frontends = self._frontends.apply(_frontends(removed), _frontends(added))
        removed_backends: dict[Frontend, frozenset[str]] = {}
        added_backends: dict[Frontend, frozenset[str]] = {}
        for frontend in old.keys() | new.keys():
            less, more = self._backends[frontend].apply(chain(*old.get(frontend, ())), chain(*new.get(frontend, ())))
            if frontend in removed_frontends:
                del self._backends[frontend]
            if frontend not in added_frontends and (less or more or frontend in removed_frontends):
                removed_backends[frontend] = less
            if frontend not in removed_frontends and (less or more or frontend in added_frontends):
                added_backends[frontend] = more
        targets = self._targets.apply(*(chain(*(part.targets for part in side)) for side in (removed, added)))
        targets6 = self._targets6.apply(*(chain(*(part.targets6 for part in side)) for side in (removed, added)))
        return Diff(
            ServiceMap(removed_backends, targets[0], targets6[0]), ServiceMap(added_backends, targets[1], targets6[1])
        )


class _References(Generic[Key]):
    """Counts of references to values."""

    def __init__(self) -> None:
        self._counts: Counter[Key] = Counter()

    def apply(self, removed: Iterable[Key], added: Iterable[Key]) -> tuple[frozenset[Key], frozenset[Key]]:
        """Subtract and add references; the values that thereby lose their last, and get their first one."""
        change = Counter(added)
        change.subtract(removed)
        last, first = set(), set()
        for value, number in change.items():
            if not number:
                continue
            if not self._counts[value]:
                first.add(value)
            self._counts[value] += number
            if not self._counts[value]:
                del self._counts[value]
                last.add(value)
        return frozenset(last), frozenset(first)


def _frontends(parts: Iterable[ServiceMap]) -> Iterable[Frontend]:
    return (frontend for part in parts for frontend in part.backends)


def _backends_by_frontend(parts: Iterable[ServiceMap]) -> dict[Frontend, list[frozenset[str]]]:
    found: defaultdict[Frontend, list[frozenset[str]]] = defaultdict(list)
    for part in parts:
        for frontend, backends in part.backends.items():
            found[frontend].append(backends)
    return found
