"""The services of the cluster as a value that follows changes: what stays the same is the very same object."""

from collections import Counter, defaultdict
from collections.abc import Iterable

from agent.network.balancing.frontends import Frontend, Services


class LiveServices:
    """A sum of what single services and endpoints say; `whole` is its value."""

    def __init__(self) -> None:
        self._backends: defaultdict[Frontend, Counter[str]] = defaultdict(Counter)
        self._holders: Counter[Frontend] = Counter()
        self._targets: Counter[str] = Counter()
        self._targets6: Counter[str] = Counter()
        self.whole = Services()

    def take(self, gone: Iterable[Services], come: Iterable[Services]) -> None:
        """Some say this no more; some say this from now on."""
        touched: dict[Frontend, None] = {}
        for count, parts in ((-1, gone), (1, come)):
            for part in parts:
                _count(self._targets, part.targets, count)
                _count(self._targets6, part.targets6, count)
                for frontend, backends in part.backends.items():
                    touched[frontend] = None
                    self._holders[frontend] += count
                    _count(self._backends[frontend], backends, count)
        if touched:
            self.whole = self._made(touched)

    def _made(self, touched: Iterable[Frontend]) -> Services:
        backends = dict(self.whole.backends)
        for frontend in touched:
            if self._holders[frontend] > 0:
                backends[frontend] = _same_if_equal(backends.get(frontend), frozenset(self._backends[frontend]))
            else:
                backends.pop(frontend, None)
                del self._holders[frontend], self._backends[frontend]
        targets = _same_if_equal(self.whole.targets, frozenset(self._targets))
        return Services(backends, targets, _same_if_equal(self.whole.targets6, frozenset(self._targets6)))


def _count(known: Counter[str], values: Iterable[str], count: int) -> None:
    for value in values:
        known[value] += count
        if not known[value]:
            del known[value]


def _same_if_equal(old: frozenset[str] | None, new: frozenset[str]) -> frozenset[str]:
    return old if old is not None and old == new else new
