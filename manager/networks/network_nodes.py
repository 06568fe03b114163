"""Nodes that have the tables of a network, and how current these are."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol

from manager.records.object_lookup import hostname_of
from manager.store.tables import View
from shoal.api.v1.control_pb2 import NetworkNode
from shoal.api.v1.dispatcher_pb2 import NodeApplied
from shoal.api.v1.node_pb2 import NodeStatus
from shoal.errors import ShoalError
from shoal.networks.published_ports import MESH_NETWORK
from shoal.task_group import TaskGroup
from shoal.task_states import is_live

Applied = Callable[[Iterable[str]], Sequence[NodeApplied]]
"""How current those of these nodes are that have their session with this manager."""


class PeerManagers(Protocol):
    """The managers that hold the other sessions."""

    async def applied(self, address: str, node_ids: Sequence[str]) -> Sequence[NodeApplied]:
        """The same of the manager whose API has this address.

        Raises:
            ShoalError: it does not respond.
        """
        ...


class NetworkNodes:
    """Queries the managers that hold the nodes' sessions.

    Args:
        applied: of this manager.
    """

    def __init__(self, *, applied: Applied, peers: PeerManagers) -> None:
        self._applied = applied
        self._peers = peers

    async def nodes_of_network(self, view: View, network_id: str) -> list[NetworkNode]:
        """By name: the nodes with a task on the network; of the routing mesh, all nodes."""
        members = members_of(view, network_id)
        known = {each.node_id: each for each in self._applied(members)}
        async with TaskGroup() as group:
            asked = [
                group.create_task(self._ask(address, node_ids))
                for address, node_ids in holders(view, members - known.keys()).items()
            ]
        known |= {each.node_id: each for task in asked for each in task.result()}
        return nodes_of(view, members, known)

    async def _ask(self, address: str, node_ids: Sequence[str]) -> Sequence[NodeApplied]:
        try:
            return await self._peers.applied(address, node_ids)
        except ShoalError:  # its nodes are shown as unknown
            return ()


def nodes_of(view: View, members: Iterable[str], known: Mapping[str, NodeApplied]) -> list[NetworkNode]:
    """By name, with how current they are as far as known. Pure."""
    found = []
    for node_id in sorted(members, key=lambda each: hostname_of(view, each)):
        status, applied = view.node_status.get(node_id), known.get(node_id, NodeApplied())
        found.append(
            NetworkNode(
                node_id=node_id,
                hostname=hostname_of(view, node_id),
                state=status.state if status is not None else 0,
                revision=applied.revision,
                up_to_date=applied.up_to_date,
            )
        )
    return found


def holders(view: View, node_ids: Iterable[str]) -> dict[str, list[str]]:
    """Nodes that are READY, by the API address of the manager that holds their session. Pure."""
    found: dict[str, list[str]] = defaultdict(list)
    for node_id in sorted(node_ids):
        status = view.node_status.get(node_id)
        manager = view.managers.get(status.manager_id) if status is not None else None
        if status is not None and status.state == NodeStatus.READY and manager is not None:
            found[manager.api_address].append(node_id)
    return dict(found)


def members_of(view: View, network_id: str) -> set[str]:
    """Nodes with a task on the network that has not ended; of the routing mesh, all nodes. Pure."""
    if network_id == MESH_NETWORK:
        return set(view.nodes)
    return {
        task.node_id
        for task in view.tasks.values()
        if any(address.network_id == network_id for address in task.addresses)
        and is_live(task, view.task_status.get(task.id))
    }
