"""Which address of a network a task gets, or a service: widens the network where that is needed and allowed."""

from manager.planner.addresses import Subnet, number
from manager.planner.addresses6 import is_pool6, network_of, number6, pool6, subnet6
from manager.planner.draft import Draft
from manager.planner.networks import widen
from shoal.api.v1.network_pb2 import Network
from shoal.network_modes import cluster_networks


class AddressPools:
    """The networks of one service while its tasks are placed.

    A pool is named by its network's id, that of IPv6 addresses as `addresses6.pool6` has it.
    """

    def __init__(self, draft: Draft) -> None:
        self._draft = draft
        self._subnets: dict[str, Subnet] = {}

    def has_ipv6(self, network_id: str) -> bool:
        """Whether its tasks get IPv6 addresses too."""
        allocation = self._draft.allocation(network_id)
        return allocation is not None and bool(allocation.subnet6)

    def subnet(self, pool: str) -> Subnet:
        """What is given out of a network that has an allocation."""
        if pool not in self._subnets:
            allocation, network = self._draft.allocation(network_of(pool)), self._network(pool)
            assert allocation is not None
            asked = self._asked(network, pool)
            self._subnets[pool] = (
                subnet6(allocation.subnet6, network.spec, asked)
                if is_pool6(pool)
                else Subnet.of(allocation.subnet, network.spec, asked)
            )
        return self._subnets[pool]

    def _asked(self, network: Network, pool: str) -> set[int]:
        """Looks through all services, but only for a network with a subnet given: of others none can be asked for."""
        if not (network.spec.subnet6 if is_pool6(pool) else network.spec.subnet):
            return set()
        every = self._draft.once("addresses asked for", lambda: _asked_for(self._draft))
        return every.get(pool, set())

    def next_free(self, pool: str) -> int | None:
        """An address that nobody has, or has asked for; None when the network has none left and cannot grow."""
        while (free := self._draft.ledger.pool(pool).next_free(self.subnet(pool))) is None:
            if is_pool6(pool) or not widen(self._draft, pool):
                return None
            del self._subnets[pool]
        return free

    def obstacle(self, pool: str, address: str) -> str:
        """Why a task cannot have an address now, one line for the user; empty when it can.

        Args:
            address: the one it asks for; empty when any will do.
        """
        held = self._draft.ledger.pool(pool)
        if not address and not held.is_exhausted(self.subnet(pool)):
            return ""
        name = self._network(pool).spec.name
        if address:
            asked = number6(address) if is_pool6(pool) else number(address)
            taken = asked in held.used
            return f"address {address} of network {name} is still in use{self._holder(pool, address)}" * taken
        if self.next_free(pool) is None:
            family = "IPv6 " if is_pool6(pool) else ""
            return f"network {name} has no free {family}address: all {self.subnet(pool).size} are in use"
        return ""

    def _network(self, pool: str) -> Network:
        return self._draft.view.networks[network_of(pool)]

    def _holder(self, pool: str, address: str) -> str:
        for task in self._draft.view.tasks.values():
            places = (held for held in task.addresses if held.network_id == network_of(pool))
            if any(address in (held.address, held.address6) for held in places):
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
