"""Turns a change of the service map into a change of nftables elements."""

import time
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from ipaddress import ip_address
from itertools import chain

from agent.network.balancing.blackhole_routes import BLACKHOLE_SECONDS
from agent.network.balancing.bucket_elements import BucketsByFrontend, bucket_elements, service_elements
from agent.network.balancing.buckets import Buckets, BucketTable
from agent.network.cluster_state.diff import Diff
from agent.network.cluster_state.service_map import Frontend, ServiceMap
from agent.network.ip_types import Address

_NO_BACKENDS: frozenset[str] = frozenset()


@dataclass(frozen=True)
class BalanceChange:
    """From one state of the services to the next: the differing elements of both, and the withdrawn backends.

    Attributes:
        before, after: elements by set or map.
        withdrawn: addresses of backends that some frontend no longer forwards to.
    """

    before: dict[str, frozenset[str]] = field(default_factory=dict)
    after: dict[str, frozenset[str]] = field(default_factory=dict)
    withdrawn: frozenset[Address] = frozenset()


class LoadBalancer:
    """The buckets of all frontends, and the targets of other nodes. A change costs in proportion to itself.

    Args:
        clock: seconds, monotonic.
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._withdrawn: dict[Address, float] = {}
        self._tables: dict[Frontend, BucketTable] = {}
        self._excluded: frozenset[Frontend] = frozenset()
        self._targets: set[str] = set()
        self._targets6: set[str] = set()

    def elements(self) -> dict[str, frozenset[str]]:
        """All elements that the kernel should hold."""
        buckets = {frontend: self._tables[frontend].buckets for frontend in self._served()}
        targets, targets6 = frozenset(self._targets), frozenset(self._targets6)
        return {**service_elements(buckets, targets, targets6), **bucket_elements(buckets)}

    def services(self) -> ServiceMap:
        """All frontends with their backends, excluded ones too."""
        backends = {frontend: frozenset(table.backends) for frontend, table in self._tables.items()}
        return ServiceMap(backends, frozenset(self._targets), frozenset(self._targets6))

    def _served(self) -> Iterable[Frontend]:
        return (frontend for frontend in self._tables if frontend not in self._excluded)

    def in_use(self, addresses: Collection[Address]) -> frozenset[Address]:
        """The ones that clients are forwarded to, or were a moment ago, since other nodes may not know yet. Those may
        forward clients to this node's tasks by ports that this node does not serve, since a program uses them here."""
        if not addresses:
            return frozenset()
        by_text = {str(each): each for each in addresses}
        backends = (target for frontend in self._served() for target in self._tables[frontend].backends)
        texts = (target.partition(" ")[0] for target in chain(backends, self._targets, self._targets6))
        found = frozenset(by_text[text] for text in texts if text in by_text)
        return found | self.withdrawn_recently(addresses, BLACKHOLE_SECONDS)

    def withdrawn_recently(self, addresses: Collection[Address], seconds: float) -> frozenset[Address]:
        """The ones that a frontend stopped forwarding to at most `seconds` ago."""
        since = self._clock() - seconds
        return frozenset(each for each in addresses if self._withdrawn.get(each, since) > since)

    def apply(self, diff: Diff[ServiceMap], excluded: frozenset[Frontend] = frozenset()) -> BalanceChange:
        """Apply a change of the service map.

        Args:
            excluded: frontends that this node does not serve, from now on.
        """
        previous, self._excluded = self._excluded, excluded
        removed, added = diff.removed.backends, diff.added.backends
        before = {each: self._tables[each].buckets for each in excluded - previous if each in self._tables}
        withdrawn = {target for frontend in before for target in self._tables[frontend].backends}
        after: dict[Frontend, Buckets] = {}
        for frontend in removed.keys() | added.keys():
            old, new = self._change(frontend, diff)
            if frontend in previous or frontend in excluded:
                continue
            if frontend in removed:
                before[frontend] = old
                withdrawn |= removed[frontend]
            if frontend in added:
                after[frontend] = new
        after |= {each: self._tables[each].buckets for each in previous - excluded if each in self._tables}
        self._targets = self._targets - diff.removed.targets | diff.added.targets
        self._targets6 = self._targets6 - diff.removed.targets6 | diff.added.targets6
        addresses = frozenset(ip_address(target.partition(" ")[0]) for target in withdrawn)
        self._remember(addresses)
        return BalanceChange(_elements(diff.removed, before, after), _elements(diff.added, after, before), addresses)

    def _change(self, frontend: Frontend, diff: Diff[ServiceMap]) -> tuple[Buckets, Buckets]:
        """Remove and add its backends; the buckets that move, before and after."""
        table = self._tables.setdefault(frontend, BucketTable())
        if frontend not in diff.added.backends:
            del self._tables[frontend]
        less, more = (side.backends.get(frontend, _NO_BACKENDS) for side in (diff.removed, diff.added))
        return table.change(less, more)

    def _remember(self, withdrawn: Collection[Address]) -> None:
        now = self._clock()
        self._withdrawn = {each: at for each, at in self._withdrawn.items() if at > now - BLACKHOLE_SECONDS}
        self._withdrawn.update(dict.fromkeys(withdrawn, now))


def _elements(part: ServiceMap, buckets: BucketsByFrontend, other: BucketsByFrontend) -> dict[str, frozenset[str]]:
    """One side of a change: frontends that the other side has, too, stay as they are."""
    frontends = buckets.keys() - other.keys()
    return {**service_elements(frontends, part.targets, part.targets6), **bucket_elements(buckets)}
