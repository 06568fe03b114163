"""Caches answers by the bytes of the query."""

import random
from collections.abc import Callable

from agent.network.dns.address_records import AddressAnswer
from agent.network.dns.answer import Decision, FixedAnswer, Forward, decide
from agent.network.dns.client_limits import CACHED_COST, UNCACHED_COST
from agent.network.dns.dns_clients import DnsClient
from agent.network.dns.wire_format import without_options
from agent.network.dns.zone import Zone

_MAX_ENTRIES = 4096
Charge = Callable[[float], bool]
_MAX_RECORDS = 256
"""Longer answers are not cached, so that the cache stays within about 20 MB."""


def _no_charge(_: float) -> bool:
    return True


class AnswerCache:
    """Answers from one zone. Setting another zone clears the cache.

    Args:
        ttl_seconds: of the cluster's own records.
        shuffle: decides the order of addresses.
    """

    def __init__(self, *, ttl_seconds: int, shuffle: random.Random) -> None:
        self._zone = Zone()
        self._ttl_seconds = ttl_seconds
        self._shuffle = shuffle
        self._answers: dict[tuple[bytes, DnsClient | None, bool], Decision] = {}

    @property
    def zone(self) -> Zone:
        return self._zone

    @zone.setter
    def zone(self, zone: Zone) -> None:
        self._zone = zone
        self._answers.clear()

    def answer(
        self, wire: bytes, client: DnsClient | None, *, tcp: bool, charge: Charge = _no_charge
    ) -> bytes | Forward | None:
        """The answer; None to send nothing.

        Args:
            charge: called once with the cost of the answer; where it returns false, nothing is sent.
        """
        wire = without_options(wire)
        key = (wire[2:], client, tcp)
        decision = self._answers.get(key)
        if not charge(CACHED_COST if decision is not None else UNCACHED_COST):
            return None
        if decision is None:
            decision = decide(wire, client, self._zone, ttl=self._ttl_seconds, tcp=tcp)
            self._store(key, decision)
        if isinstance(decision, AddressAnswer):
            return decision.wire(wire[:2], self._shuffle)
        if isinstance(decision, FixedAnswer):
            return None if decision.wire is None else wire[:2] + decision.wire[2:]
        return decision

    def _store(self, key: tuple[bytes, DnsClient | None, bool], decision: Decision) -> None:
        if isinstance(decision, AddressAnswer) and len(decision.records) > _MAX_RECORDS:
            return
        if len(self._answers) >= _MAX_ENTRIES:  # a flood of different queries costs no more than without a cache
            self._answers.clear()
        self._answers[key] = decision
