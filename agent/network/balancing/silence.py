"""Addresses of tasks that ended while clients were still led to them: nobody is told that they are gone, for a moment.

A task that is drained has no client any more. One that ends by itself, by a fault or since it had nothing to do, leaves
clients who are led to it until every node is told. An answer, "no route to host", would end their attempts; without one
their kernels try again a second later, and by then the nodes lead them to another task (`flows`).
"""

from collections.abc import Callable, Iterable
from ipaddress import ip_network

from agent.network.netlink.messages import SILENT, Address, Network, Route

SECONDS = 3.0
"""Clients try again after one second, and after three (RFC 6298, 2)."""


class Silence:
    """Decides alone; the caller changes the kernel.

    Args:
        clock: seconds, monotonic.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._until: dict[Route, float] = {}

    @property
    def lasts(self) -> bool:
        """Whether some are silent."""
        return bool(self._until)

    def begin(self, addresses: Iterable[Address]) -> list[Route]:
        """Routes to add, in the place of those to the tasks."""
        routes = [Route(ip_network(address), SILENT) for address in addresses]
        self._until.update(dict.fromkeys(routes, self._clock() + SECONDS))
        return routes

    def over(self) -> list[Route]:
        """Routes to remove. Where an address was given to another task meanwhile, its own route has taken the place."""
        now = self._clock()
        ended = [route for route, until in self._until.items() if until <= now]
        for route in ended:
            del self._until[route]
        return ended

    def beside(self, routes: frozenset[Route]) -> frozenset[Route]:
        """These with those of silent addresses, where these lead to none of them."""
        if not self._until:
            return routes
        taken: set[Network] = {route.destination for route in routes}
        return routes | {route for route in self._until if route.destination not in taken}
