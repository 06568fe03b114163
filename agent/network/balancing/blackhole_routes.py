"""Temporary blackhole routes for addresses of stopped tasks that still get connections, so that clients retry.

A task that was withdrawn before it stopped has no clients any more. One that exits by itself leaves clients that are
forwarded to it until every node knows. An ICMP error, "no route to host", would end their attempts; without a reply
their kernels retry a second later, and by then the nodes forward them to another task (`stale_flows`).
"""

from collections.abc import Callable, Collection, Iterable
from ipaddress import ip_network

from agent.network.attachments.attachment import Attachment, host_routes
from agent.network.ip_types import Address
from agent.network.netlink.rtnetlink import BLACKHOLE_LINK, KernelRoute, Message, add_route, delete_route

BLACKHOLE_SECONDS = 3.0
"""Clients retry after one second, and after three (RFC 6298, 2)."""
MAX_BLACKHOLE_SECONDS = 30.0
"""While this node itself forwards clients there. Where it gets no update from a manager for this long, an error serves
clients better than one more attempt."""


class BlackholeRoutes:
    """Only decides; the caller changes the kernel.

    Args:
        clock: seconds, monotonic.
        in_use: which of some addresses clients are forwarded to, or were a moment ago.
        attached: this node's tasks, whose addresses always have blackhole routes.
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
        """Whether there are temporary blackhole routes. Safe from any thread."""
        return bool(self._since)

    @property
    def routes(self) -> frozenset[KernelRoute]:
        """The temporary blackhole routes."""
        return frozenset(map(_blackhole_route, self._since))

    def add(self, addresses: Collection[Address]) -> list[Message]:
        """Add routes for these addresses, of tasks on other nodes."""
        new = self._not_attached(addresses)
        self._since.update(dict.fromkeys(new, self._clock()))
        return [add_route(_blackhole_route(address)) for address in new]

    def recover(self, routes: Iterable[KernelRoute]) -> None:
        """Take over routes that an earlier agent process left: some tasks stopped while no agent ran."""
        self.add([route.destination.network_address for route in routes])

    def replace_ended(self, ended: Collection[Attachment]) -> list[Message]:
        """Requests after tasks of this node have stopped. Where clients are forwarded to them only the blackhole routes
        stay; elsewhere those are deleted now, and the others with the link."""
        in_use = frozenset(self._in_use([address for each in ended for address in each.all_addresses]))
        self._since.update(dict.fromkeys(in_use, self._clock()))
        routes = [(route.destination.network_address in in_use, route) for each in ended for route in host_routes(each)]
        return [delete_route(route) for used, route in routes if used != (route.link == BLACKHOLE_LINK)]

    def remove_expired(self) -> list[Message]:
        """The requests that remove expired routes."""
        now = self._clock()
        due = [address for address, since in self._since.items() if since <= now - BLACKHOLE_SECONDS]
        in_use = self._in_use(due)
        expired = [each for each in due if each not in in_use or self._since[each] <= now - MAX_BLACKHOLE_SECONDS]
        for address in expired:
            del self._since[address]
        return [delete_route(_blackhole_route(address)) for address in self._not_attached(expired)]

    def _not_attached(self, addresses: Collection[Address]) -> list[Address]:
        """The addresses that no task of this node has now."""
        if not addresses:
            return []
        attached = {address for each in self._attached() for address in each.all_addresses}
        return [address for address in addresses if address not in attached]


def _blackhole_route(address: Address) -> KernelRoute:
    return KernelRoute(ip_network(address), BLACKHOLE_LINK)
