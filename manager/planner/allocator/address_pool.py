"""Assigns addresses of a network to tasks and services; widens its subnet where that is needed and allowed."""

from collections.abc import Callable, Iterator
from itertools import filterfalse

from manager.planner.allocator.network_subnets import widen
from manager.planner.draft import Draft
from manager.planner.ipam.ipv4_addresses import AddressUsage, AllocatableRange, ipv4_number, ipv4_text
from manager.planner.ipam.ipv6_addresses import (
    allocatable_ipv6,
    ipv6_number,
    ipv6_pool,
    ipv6_text,
    is_ipv6_pool,
    pool_network,
)
from shoal.api.v1.network_pb2 import Network
from shoal.networks.network_modes import cluster_networks


class AddressPool:
    """Assigns addresses of one pool to one service and its tasks.

    Args:
        pool: named by its network's id, that of IPv6 addresses as by `ipv6_pool`. The network has an allocation.
        requested: the address that each task requests; empty when any will do.

    Attributes:
        subnet: the addresses to assign.
        in_use: those in use.
    """

    __slots__ = ("_draft", "_next", "_order", "_pool", "_requested", "_text", "in_use", "subnet")

    def __init__(self, draft: Draft, pool: str, requested: str = "") -> None:
        self._draft, self._pool, self._requested = draft, pool, requested
        self._text: Callable[[int], str] = ipv6_text if is_ipv6_pool(pool) else ipv4_text
        self.in_use: AddressUsage = draft.resources.pool(pool)
        self.subnet: AllocatableRange = self._subnet()
        self._order: Iterator[int] = self.in_use.free(self.subnet)
        self._next = next(self._order, None)

    def obstacle(self) -> str:
        """Why a task cannot have an address now, one line for the user; empty when it can."""
        if not self._requested:
            return "" if self._next is not None or self._widen() else self._exhausted()
        if self._requested_number() not in self.in_use.used:
            return ""
        return f"address {self._requested} of network {self._network().spec.name} is in use{self._holder()}"

    def allocate(self) -> str:
        """Claim the address of the next task. There must be no obstacle."""
        address = self._requested_number() if self._requested else self._next
        assert address is not None
        self._draft.resources.claim_address(self.in_use, address, self._draft.now_ms)
        if address == self._next:
            self._next = next(self._order, None)
        return self._text(address)

    def allocate_highest(self) -> str | None:
        """Claim an address away from those of tasks, which are assigned from below; None when none is left."""
        left: dict[tuple[str, int], int] = self._draft.cached("highest addresses left", dict)
        last = self.subnet.last
        from_above = range(left.get((self._pool, last), last), self.subnet.first - 1, -1)
        free = next(filterfalse(self.subnet.excluded.__contains__, self.in_use.unused(from_above)), None)
        if free is not None:
            left[self._pool, last] = free - 1
        elif self._widen():
            free = self._next
        if free is None:
            return None
        self._draft.resources.claim_address(self.in_use, free, 0)
        if free == self._next:
            self._next = next(self._order, None)
        return self._text(free)

    def _requested_number(self) -> int:
        return ipv6_number(self._requested) if is_ipv6_pool(self._pool) else ipv4_number(self._requested)

    def _subnet(self) -> AllocatableRange:
        allocation, network = self._draft.allocation(pool_network(self._pool)), self._network()
        assert allocation is not None
        if is_ipv6_pool(self._pool):
            return allocatable_ipv6(allocation.subnet6, network.spec, self._requested_by_services(network.spec.subnet6))
        return AllocatableRange.of(allocation.subnet, network.spec, self._requested_by_services(network.spec.subnet))

    def _requested_by_services(self, subnet: str) -> set[int]:
        """Addresses that services request. Only a network whose subnet the user chose can have some."""
        if not subnet:
            return set()
        every = self._draft.cached("requested addresses", lambda: _requested_addresses(self._draft))
        return every.get(self._pool, set())

    def _widen(self) -> bool:
        """Widen the network; whether it has more free addresses."""
        if is_ipv6_pool(self._pool) or not widen(self._draft, self._pool):
            return False
        self.subnet = self._subnet()
        self._order = self.in_use.free(self.subnet)
        self._next = next(self._order, None)
        return self._next is not None or self._widen()

    def _network(self) -> Network:
        return self._draft.view.networks[pool_network(self._pool)]

    def _exhausted(self) -> str:
        family = "IPv6 " if is_ipv6_pool(self._pool) else ""
        name, size = self._network().spec.name, self.subnet.size
        if not size:
            return f"network {name} has no {family}address to assign: all are reserved, or requested by services"
        return f"network {name} has no free {family}address: all {size} are in use"

    def _holder(self) -> str:
        for task in self._draft.view.tasks.values():
            addresses = (each for each in task.addresses if each.network_id == pool_network(self._pool))
            if any(self._requested in (each.address, each.address6) for each in addresses):
                if self._draft.down_status(task.node_id):
                    return (
                        f" by task {task.id} on node {task.node_id}, which is down; "
                        f"free it with `shoal node rm {task.node_id}`"
                    )
                return f" by task {task.id}"
        return ""


def _requested_addresses(draft: Draft) -> dict[str, set[int]]:
    """Addresses that services request, by pool: no other service gets them."""
    found: dict[str, set[int]] = {}
    for service in draft.view.services.values():
        for attachment in cluster_networks(service.spec.task):
            if attachment.address:
                found.setdefault(attachment.network, set()).add(ipv4_number(attachment.address))
            if attachment.address6:
                found.setdefault(ipv6_pool(attachment.network), set()).add(ipv6_number(attachment.address6))
    return found
