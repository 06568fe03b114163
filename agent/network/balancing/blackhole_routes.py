"""Temporary blackhole routes for addresses of stopped tasks that still get connections, so that clients retry.

A task that is drained has no client any more. One that ends by itself, by a fault or since it had nothing to do, leaves
clients who are led to it until every node is told. An answer, "no route to host", would end their attempts; without one
their kernels try again a second later, and by then the nodes lead them to another task (`flows`).
"""

from collections.abc import Callable, Collection, Iterable
from ipaddress import ip_network

from agent.network.attachments.attachment import Attachment, host_routes
from agent.network.netlink.rtnetlink import BLACKHOLE_LINK, Address, Message, Route, add_route, delete_route

BLACKHOLE_SECONDS = 3.0
"""Clients try again after one second, and after three (RFC 6298, 2)."""
MAX_BLACKHOLE_SECONDS = 30.0
"""While this node itself leads clients there. Where no manager tells it otherwise for so long, an error serves them
better than one more attempt."""


class BlackholeRoutes:
    """Decides alone; the caller changes the kernel.

    Args:
        clock: seconds, monotonic.
        in_use: which of some addresses clients are led to, or were a moment ago.
        attached: this node's tasks, whose addresses have silent routes in any case.
    """

    def __init__(
        self,
        *,
        clock: Callable[[], float],
        in_use: Callable[[Collection[Address]], Collection[Address]],
        attached: Callable[[], Iterable[Attachment]],
    ) -> None:
        self._clock = clock
        self._in_use = in_use
        self._attached = attached
        self._since: dict[Address, float] = {}

    @property
    def is_active(self) -> bool:
        """Whether some are silent. Safe from any thread."""
        return bool(self._since)

    @property
    def routes(self) -> frozenset[Route]:
        """Of those that are silent."""
        return frozenset(map(_blackhole_route, self._since))

    def add(self, addresses: Collection[Address]) -> list[Message]:
        """Have these silent, though no task of this node has had them."""
        new = self._not_attached(addresses)
        self._since.update(dict.fromkeys(new, self._clock()))
        return [add_route(_blackhole_route(address)) for address in new]

    def recover(self, routes: Iterable[Route]) -> None:
        """An earlier process of the agent left these: some tasks ended when nobody looked."""
        self.add([route.destination.network_address for route in routes])

    def replace_ended(self, ended: Collection[Attachment]) -> list[Message]:
        """Tasks of this node have ended. Where clients are led to them only the silent routes stay; elsewhere these go
        now, and the others with the link."""
        in_use = frozenset(self._in_use([address for each in ended for address in each.all_addresses]))
        self._since.update(dict.fromkeys(in_use, self._clock()))
        routes = [(route.destination.network_address in in_use, route) for each in ended for route in host_routes(each)]
        return [delete_route(route) for is_led_to, route in routes if is_led_to != (route.link == BLACKHOLE_LINK)]

    def remove_expired(self) -> list[Message]:
        """What removes the routes of those that have been silent for long enough."""
        now = self._clock()
        due = [address for address, since in self._since.items() if since <= now - BLACKHOLE_SECONDS]
        in_use = self._in_use(due)
        expired = [each for each in due if each not in in_use or self._since[each] <= now - MAX_BLACKHOLE_SECONDS]
        for address in expired:
            del self._since[address]
        return [delete_route(_blackhole_route(address)) for address in self._not_attached(expired)]

    def _not_attached(self, addresses: Collection[Address]) -> list[Address]:
        """Those that no task of this node has now."""
        if not addresses:
            return []
        attached = {address for each in self._attached() for address in each.all_addresses}
        return [address for address in addresses if address not in attached]


def _blackhole_route(address: Address) -> Route:
    return Route(ip_network(address), BLACKHOLE_LINK)
