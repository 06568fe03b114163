"""Which address of a network a task gets, or a service: widens the network where that is needed and allowed."""

from collections.abc import Callable, Iterator
from itertools import filterfalse

from manager.planner.addresses import Pool, Subnet, dotted, number
from manager.planner.addresses6 import is_pool6, network_of, number6, pool6, subnet6, text6
from manager.planner.draft import Draft
from manager.planner.networks import widen
from shoal.api.v1.network_pb2 import Network
from shoal.network_modes import cluster_networks


class Supply:
    """The addresses of one pool while it is one service's turn to take some.

    Args:
        pool: named by its network's id, that of IPv6 addresses as `addresses6.pool6` has it. It has an allocation.
        asked: the address that each task asks for; empty when any will do.

    Attributes:
        subnet: what is given out.
        held: those in use.
    """

    __slots__ = ("_asked", "_draft", "_next", "_order", "_pool", "_text", "held", "subnet")

    def __init__(self, draft: Draft, pool: str, asked: str = "") -> None:
        self._draft, self._pool, self._asked = draft, pool, asked
        self._text: Callable[[int], str] = text6 if is_pool6(pool) else dotted
        self.held: Pool = draft.ledger.pool(pool)
        self.subnet: Subnet = self._subnet()
        self._order: Iterator[int] = self.held.free(self.subnet)
        self._next = next(self._order, None)

    def obstacle(self) -> str:
        """Why a task cannot have an address now, one line for the user; empty when it can."""
        if not self._asked:
            return "" if self._next is not None or self._widened() else self._exhausted()
        if self._asked_number() not in self.held.used:
            return ""
        return f"address {self._asked} of network {self._network().spec.name} is still in use{self._holder()}"

    def give(self) -> str:
        """The address of the next task, taken in the ledger. There must be no obstacle."""
        address = self._asked_number() if self._asked else self._next
        assert address is not None
        self._draft.ledger.take(self.held, address, self._draft.now_ms)
        if address == self._next:
            self._next = next(self._order, None)
        return self._text(address)

    def give_highest(self) -> str | None:
        """An address away from those of tasks, which are given out from below; None when none is left."""
        left: dict[tuple[str, int], int] = self._draft.once("highest addresses left", dict)
        last = self.subnet.last
        from_above = range(left.get((self._pool, last), last), self.subnet.first - 1, -1)
        free = next(filterfalse(self.subnet.excluded.__contains__, self.held.unused(from_above)), None)
        if free is not None:
            left[self._pool, last] = free - 1
        elif self._widened():
            free = self._next
        if free is None:
            return None
        self._draft.ledger.take(self.held, free, 0)
        if free == self._next:
            self._next = next(self._order, None)
        return self._text(free)

    def _asked_number(self) -> int:
        return number6(self._asked) if is_pool6(self._pool) else number(self._asked)

    def _subnet(self) -> Subnet:
        allocation, network = self._draft.allocation(network_of(self._pool)), self._network()
        assert allocation is not None
        if is_pool6(self._pool):
            return subnet6(allocation.subnet6, network.spec, self._kept(network.spec.subnet6))
        return Subnet.of(allocation.subnet, network.spec, self._kept(network.spec.subnet))

    def _kept(self, subnet: str) -> set[int]:
        """Those that services ask for. Looks through all, but only where a subnet is given: of others none can be."""
        if not subnet:
            return set()
        every = self._draft.once("addresses asked for", lambda: _asked_for(self._draft))
        return every.get(self._pool, set())

    def _widened(self) -> bool:
        """The network has more addresses now."""
        if is_pool6(self._pool) or not widen(self._draft, self._pool):
            return False
        self.subnet = self._subnet()
        self._order = self.held.free(self.subnet)
        self._next = next(self._order, None)
        return self._next is not None or self._widened()

    def _network(self) -> Network:
        return self._draft.view.networks[network_of(self._pool)]

    def _exhausted(self) -> str:
        family = "IPv6 " if is_pool6(self._pool) else ""
        name, size = self._network().spec.name, self.subnet.size
        if not size:
            return (
                f"network {name} has no {family}address to give: all are set aside, or services ask for them by number"
            )
        return f"network {name} has no free {family}address: all {size} are in use"

    def _holder(self) -> str:
        for task in self._draft.view.tasks.values():
            places = (held for held in task.addresses if held.network_id == network_of(self._pool))
            if any(self._asked in (held.address, held.address6) for held in places):
                if self._draft.down(task.node_id):
                    return f" by task {task.id} on node {task.node_id}, which is down: remove the node to free it"
                return f" by task {task.id}"
        return ""


def _asked_for(draft: Draft) -> dict[str, set[int]]:
    """Addresses that services name themselves, by pool: they are given to nobody else."""
    found: dict[str, set[int]] = {}
    for service in draft.view.services.values():
        for attachment in cluster_networks(service.spec.task):
            if attachment.address:
                found.setdefault(attachment.network, set()).add(number(attachment.address))
            if attachment.address6:
                found.setdefault(pool6(attachment.network), set()).add(number6(attachment.address6))
    return found
