"""Which nodes hold tables of a network, and how far they are."""

from collections.abc import Callable

from manager.control_api.lookup import hostname_of
from manager.store.tables import View
from shoal.api.v1.control_pb2 import NetworkNode
from shoal.published_ports import MESH_NETWORK
from shoal.task_states import is_live

Applied = Callable[[str], int | None]
"""The store's revision that a node's datapath holds, by its id; None when its session is with another manager."""


def nothing_known(_: str) -> int | None:
    """`Applied` of who holds no sessions."""
    return None


def nodes_of(view: View, network_id: str, applied: Applied) -> list[NetworkNode]:
    """By name: those with a task on the network; of the routing mesh's, all."""
    found = []
    for node_id in sorted(_members(view, network_id), key=lambda node_id: hostname_of(view, node_id)):
        status = view.node_status.get(node_id)
        revision = applied(node_id)
        found.append(
            NetworkNode(
                node_id=node_id,
                hostname=hostname_of(view, node_id),
                state=status.state if status is not None else 0,
                revision=revision or 0,
                up_to_date=revision == view.revision,
            )
        )
    return found


def _members(view: View, network_id: str) -> set[str]:
    if network_id == MESH_NETWORK:
        return set(view.nodes)
    return {
        task.node_id
        for task in view.tasks.values()
        if any(address.network_id == network_id for address in task.addresses)
        and is_live(task, view.task_status.get(task.id))
    }
