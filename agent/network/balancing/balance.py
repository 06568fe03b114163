"""What the kernel spreads over which backends, as it follows the services."""

import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from ipaddress import ip_address
from itertools import chain

from agent.network.balancing.elements import Spread, service_elements, slot_elements
from agent.network.balancing.frontends import Frontend, Services
from agent.network.balancing.silence import SECONDS
from agent.network.balancing.slots import Allotment, Slots
from agent.network.netlink.messages import Address

_NOBODY: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Move:
    """From one state of the services to the next: the elements of both that differ, and who lost clients.

    Attributes:
        before, after: by set or map.
        withdrawn: addresses of backends that some frontend does not lead to any more.
    """

    before: dict[str, frozenset[str]] = field(default_factory=dict)
    after: dict[str, frozenset[str]] = field(default_factory=dict)
    withdrawn: frozenset[Address] = frozenset()


class Balance:
    """Costs what changes, and a look at each frontend: `Services` share the backends that stay the same.

    Args:
        clock: seconds, monotonic.
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._withdrawn: dict[Address, float] = {}
        self._services = Services()
        self._allotments: dict[Frontend, Allotment] = {}

    def elements(self) -> dict[str, frozenset[str]]:
        """All that the kernel is to hold."""
        spread = {frontend: allotment.slots for frontend, allotment in self._allotments.items()}
        return {**service_elements(self._services), **slot_elements(spread)}

    def led_to(self, addresses: Collection[Address]) -> frozenset[Address]:
        """Those of them that clients are led to, or were a moment ago: other nodes may not know it yet. These may lead
        clients to this node's tasks by ports that it does not lead itself, since a program has them here."""
        if not addresses:
            return frozenset()
        among, known = {str(each): each for each in addresses}, self._services
        targets = (target.partition(" ")[0] for each in known.backends.values() for target in each)
        own = (target.partition(" ")[0] for each in (known.targets, known.targets6) for target in each)
        led_to = frozenset(among[target] for target in chain(targets, own) if target in among)
        return led_to | self.withdrawn_lately(addresses, SECONDS)

    def withdrawn_lately(self, addresses: Collection[Address], seconds: float) -> frozenset[Address]:
        """Those of them that some frontend led to, and leads to no more, at most `SECONDS` ago."""
        since = self._clock() - seconds
        return frozenset(each for each in addresses if self._withdrawn.get(each, since) > since)

    def follow(self, services: Services) -> Move:
        """Lead clients by these from now on."""
        old, self._services = self._services, services
        before: dict[Frontend, Slots] = {}
        after: dict[Frontend, Slots] = {}
        withdrawn: set[str] = set()
        for frontend in (*services.backends, *(old.backends.keys() - services.backends.keys())):
            was, now = old.backends.get(frontend, _NOBODY), services.backends.get(frontend, _NOBODY)
            if was is not now:
                allotment = self._allotments.setdefault(frontend, Allotment())
                before[frontend], after[frontend] = allotment.change(was - now, now - was)
                withdrawn |= was - now
            if not now:
                self._allotments.pop(frontend, None)
        addresses = frozenset(ip_address(target.partition(" ")[0]) for target in withdrawn)
        self._note(addresses)
        return Move(_elements(_only(old, services), before), _elements(_only(services, old), after), addresses)

    def _note(self, withdrawn: Collection[Address]) -> None:
        now = self._clock()
        self._withdrawn = {each: at for each, at in self._withdrawn.items() if at > now - SECONDS}
        self._withdrawn.update(dict.fromkeys(withdrawn, now))


def _elements(services: Services, spread: Spread) -> dict[str, frozenset[str]]:
    return {**service_elements(services), **slot_elements(spread)}


def _only(services: Services, other: Services) -> Services:
    """Frontends and targets that the others have not."""
    new = services.backends.keys() - other.backends.keys()
    targets, targets6 = services.targets - other.targets, services.targets6 - other.targets6
    return Services(dict.fromkeys(new, _NOBODY), targets, targets6)
