"""Decisions kept by the bytes of their queries: most askers ask the same few questions again and again."""

import random
from collections.abc import Callable

from agent.network.dns.address_records import PreparedAddresses
from agent.network.dns.answer import Decision, Fixed, Forward, decide
from agent.network.dns.askers import Asker
from agent.network.dns.limits import KNOWN_COST, NEW_COST
from agent.network.dns.wire import without_options
from agent.network.dns.zone import Zone

_MOST = 4096
Pay = Callable[[float], bool]
_MOST_RECORDS = 256
"""Longer answers are made anew each time, so that what is kept stays within about 20 MB."""


def _free(_: float) -> bool:
    return True


class KeptAnswers:
    """Answers from one zone. Putting another in its place forgets all.

    Args:
        ttl_seconds: of the cluster's own records.
        shuffle: decides the order of addresses.
    """

    def __init__(self, *, ttl_seconds: int, shuffle: random.Random) -> None:
        self._zone = Zone()
        self._ttl_seconds = ttl_seconds
        self._shuffle = shuffle
        self._kept: dict[tuple[bytes, Asker | None, bool], Decision] = {}

    @property
    def zone(self) -> Zone:
        return self._zone

    @zone.setter
    def zone(self, zone: Zone) -> None:
        self._zone = zone
        self._kept.clear()

    def answer(self, wire: bytes, asker: Asker | None, *, tcp: bool, pay: Pay = _free) -> bytes | Forward | None:
        """What to send back; None to send nothing.

        Args:
            pay: asked once, with what the answer costs; where it says no, nothing is done.
        """
        wire = without_options(wire)
        key = (wire[2:], asker, tcp)
        decision = self._kept.get(key)
        if not pay(KNOWN_COST if decision is not None else NEW_COST):
            return None
        if decision is None:
            decision = decide(wire, asker, self._zone, ttl=self._ttl_seconds, tcp=tcp)
            self._keep(key, decision)
        if isinstance(decision, PreparedAddresses):
            return decision.wire(wire[:2], self._shuffle)
        if isinstance(decision, Fixed):
            return None if decision.wire is None else wire[:2] + decision.wire[2:]
        return decision

    def _keep(self, key: tuple[bytes, Asker | None, bool], decision: Decision) -> None:
        if isinstance(decision, PreparedAddresses) and len(decision.records) > _MOST_RECORDS:
            return
        if len(self._kept) >= _MOST:  # a flood of different questions costs no more than without this
            self._kept.clear()
        self._kept[key] = decision
