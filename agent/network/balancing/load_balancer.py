"""Turns a change of the service map into a change of nftables elements."""

import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from ipaddress import ip_address
from itertools import chain

from agent.network.balancing.blackhole_routes import BLACKHOLE_SECONDS
from agent.network.balancing.bucket_elements import BucketsByFrontend, bucket_elements, service_elements
from agent.network.balancing.buckets import Buckets, BucketTable
from agent.network.cluster_state.service_map import Frontend, ServiceMap
from agent.network.netlink.rtnetlink import Address

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
    """Costs what changes plus one comparison per frontend: unchanged backends are shared objects.

    Args:
        clock: seconds, monotonic.
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._withdrawn: dict[Address, float] = {}
        self._service_map = ServiceMap()
        self._bucket_tables: dict[Frontend, BucketTable] = {}

    def elements(self) -> dict[str, frozenset[str]]:
        """All elements that the kernel should hold."""
        buckets = {frontend: table.buckets for frontend, table in self._bucket_tables.items()}
        return {**service_elements(self._service_map), **bucket_elements(buckets)}

    def in_use(self, addresses: Collection[Address]) -> frozenset[Address]:
        """The ones that clients are forwarded to, or were a moment ago, since other nodes may not know yet. Those may
        forward clients to this node's tasks by ports that this node does not serve, since a program uses them here."""
        if not addresses:
            return frozenset()
        by_text, known = {str(each): each for each in addresses}, self._service_map
        targets = (target.partition(" ")[0] for each in known.backends.values() for target in each)
        own = (target.partition(" ")[0] for each in (known.targets, known.targets6) for target in each)
        found = frozenset(by_text[target] for target in chain(targets, own) if target in by_text)
        return found | self.withdrawn_recently(addresses, BLACKHOLE_SECONDS)

    def withdrawn_recently(self, addresses: Collection[Address], seconds: float) -> frozenset[Address]:
        """The ones that a frontend stopped forwarding to at most `seconds` ago."""
        since = self._clock() - seconds
        return frozenset(each for each in addresses if self._withdrawn.get(each, since) > since)

    def apply(self, services: ServiceMap) -> BalanceChange:
        """Forward clients by these services from now on."""
        previous, self._service_map = self._service_map, services
        before: dict[Frontend, Buckets] = {}
        after: dict[Frontend, Buckets] = {}
        withdrawn: set[str] = set()
        for frontend in (*services.backends, *(previous.backends.keys() - services.backends.keys())):
            old_backends, new_backends = (
                previous.backends.get(frontend, _NO_BACKENDS),
                services.backends.get(frontend, _NO_BACKENDS),
            )
            if old_backends is not new_backends:
                table = self._bucket_tables.setdefault(frontend, BucketTable())
                before[frontend], after[frontend] = table.change(
                    old_backends - new_backends, new_backends - old_backends
                )
                withdrawn |= old_backends - new_backends
            if not new_backends:
                self._bucket_tables.pop(frontend, None)
        addresses = frozenset(ip_address(target.partition(" ")[0]) for target in withdrawn)
        self._remember(addresses)
        return BalanceChange(
            _elements(_only_in(previous, services), before), _elements(_only_in(services, previous), after), addresses
        )

    def _remember(self, withdrawn: Collection[Address]) -> None:
        now = self._clock()
        self._withdrawn = {each: at for each, at in self._withdrawn.items() if at > now - BLACKHOLE_SECONDS}
        self._withdrawn.update(dict.fromkeys(withdrawn, now))


def _elements(services: ServiceMap, buckets: BucketsByFrontend) -> dict[str, frozenset[str]]:
    return {**service_elements(services), **bucket_elements(buckets)}


def _only_in(services: ServiceMap, other: ServiceMap) -> ServiceMap:
    """Frontends and targets that the other map lacks."""
    new = services.backends.keys() - other.backends.keys()
    targets, targets6 = services.targets - other.targets, services.targets6 - other.targets6
    return ServiceMap(dict.fromkeys(new, _NO_BACKENDS), targets, targets6)
