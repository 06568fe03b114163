"""Which address of a network a task gets, or a service: widens the network where that is needed and allowed."""

from manager.planner.addresses import Subnet, number
from manager.planner.draft import Draft
from manager.planner.networks import widen
from shoal.api.v1.network_pb2 import Network
from shoal.network_modes import cluster_networks


class AddressPools:
    """The networks of one service while its tasks are placed."""

    def __init__(self, draft: Draft) -> None:
        self._draft = draft
        self._subnets: dict[str, Subnet] = {}

    def subnet(self, network_id: str) -> Subnet:
        """What is given out of a network that has an allocation."""
        if network_id not in self._subnets:
            allocation, network = self._draft.allocation(network_id), self._network(network_id)
            assert allocation is not None
            self._subnets[network_id] = Subnet.of(allocation.subnet, network.spec, self._asked(network))
        return self._subnets[network_id]

    def _asked(self, network: Network) -> set[int]:
        """Looks through all services, but only for a network with a subnet given: of others none can be asked for."""
        if not network.spec.subnet:
            return set()
        every = self._draft.once("addresses asked for", lambda: _asked_for(self._draft))
        return every.get(network.meta.id, set())

    def next_free(self, network_id: str) -> int | None:
        """An address that nobody has, or has asked for; None when the network has none left and cannot grow."""
        while (free := self._draft.ledger.pool(network_id).next_free(self.subnet(network_id))) is None:
            if not widen(self._draft, network_id):
                return None
            del self._subnets[network_id]
        return free

    def obstacle(self, network_id: str, address: str) -> str:
        """Why a task cannot have an address now, one line for the user; empty when it can.

        Args:
            address: the one it asks for; empty when any will do.
        """
        name = self._network(network_id).spec.name
        if address:
            taken = number(address) in self._draft.ledger.pool(network_id).used
            return f"address {address} of network {name} is still in use{self._holder(network_id, address)}" * taken
        full = self._draft.ledger.pool(network_id).is_exhausted(self.subnet(network_id))
        if full and self.next_free(network_id) is None:
            return f"network {name} has no free address: all {self.subnet(network_id).size} are in use"
        return ""

    def _network(self, network_id: str) -> Network:
        return self._draft.view.networks[network_id]

    def _holder(self, network_id: str, address: str) -> str:
        for task in self._draft.view.tasks.values():
            if any((held.network_id, held.address) == (network_id, address) for held in task.addresses):
                if self._draft.down(task.node_id):
                    return f" by task {task.id} on node {task.node_id}, which is down: remove the node to free it"
                return f" by task {task.id}"
        return ""


def _asked_for(draft: Draft) -> dict[str, set[int]]:
    """Addresses that services name themselves, by network: they are given to nobody else."""
    found: dict[str, set[int]] = {}
    for service in draft.view.services.values():
        for attachment in cluster_networks(service.spec.task):
            if attachment.address:
                found.setdefault(attachment.network, set()).add(number(attachment.address))
    return found
