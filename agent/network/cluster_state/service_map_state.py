"""The service map, updated incrementally; unchanged backends keep their identity."""

from collections import Counter, defaultdict
from collections.abc import Iterable

from agent.network.cluster_state.service_map import Frontend, ServiceMap


class ServiceMapState:
    """The sum of the service maps of single services; `current` is its value."""

    def __init__(self) -> None:
        self._backends: defaultdict[Frontend, Counter[str]] = defaultdict(Counter)
        self._references: Counter[Frontend] = Counter()
        self._targets: Counter[str] = Counter()
        self._targets6: Counter[str] = Counter()
        self.current = ServiceMap()

    def apply(self, removed: Iterable[ServiceMap], added: Iterable[ServiceMap]) -> None:
        """Subtract some service maps, and add others."""
        changed: dict[Frontend, None] = {}
        for count, parts in ((-1, removed), (1, added)):
            for part in parts:
                _count(self._targets, part.targets, count)
                _count(self._targets6, part.targets6, count)
                for frontend, backends in part.backends.items():
                    changed[frontend] = None
                    self._references[frontend] += count
                    _count(self._backends[frontend], backends, count)
        if changed:
            self.current = self._rebuild(changed)

    def _rebuild(self, changed: Iterable[Frontend]) -> ServiceMap:
        backends = dict(self.current.backends)
        for frontend in changed:
            if self._references[frontend] > 0:
                backends[frontend] = _reuse_if_equal(backends.get(frontend), frozenset(self._backends[frontend]))
            else:
                backends.pop(frontend, None)
                del self._references[frontend], self._backends[frontend]
        targets = _reuse_if_equal(self.current.targets, frozenset(self._targets))
        return ServiceMap(backends, targets, _reuse_if_equal(self.current.targets6, frozenset(self._targets6)))


def _count(known: Counter[str], values: Iterable[str], count: int) -> None:
    for value in values:
        known[value] += count
        if not known[value]:
            del known[value]


def _reuse_if_equal(old: frozenset[str] | None, new: frozenset[str]) -> frozenset[str]:
    return old if old is not None and old == new else new
