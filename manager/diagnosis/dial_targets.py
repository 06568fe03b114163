"""Which ports of the cluster each host tries to reach: those that it needs, a part of them in a large cluster. Pure."""

from collections.abc import Sequence

from manager.networks.network_check_handler import ring_neighbors
from manager.records.object_lookup import hostname_of
from manager.store.tables import View
from shoal.api.v1.diagnosis_pb2 import DialTarget
from shoal.host_checks.port_checks import MAX_TARGETS
from shoal.rpc.host_port import HostPort

MAX_NODES_PER_NODE = 8


def targets_of_node(view: View, node_id: str, ready: Sequence[str]) -> list[DialTarget]:
    """The managers' APIs, and the agents of the next few nodes.

    Args:
        ready: ids of all nodes that are ready, in order.
    """
    position = ready.index(node_id)
    neighbors = ring_neighbors(len(ready), position)[:MAX_NODES_PER_NODE]
    return [*_managers(view), *(_node(view, ready[each]) for each in neighbors)][:MAX_TARGETS]


def targets_of_manager(view: View, manager_id: str, ready: Sequence[str]) -> list[DialTarget]:
    """The other managers' APIs and etcds, and the agents, of which each manager takes its part where there are many."""
    others = sorted(view.managers.keys() | {manager_id})
    share = ready[others.index(manager_id) :: len(others)] if len(ready) > MAX_TARGETS // 2 else ready
    etcds = [
        DialTarget(name=f"etcd of manager {each.id}", address=each.etcd_peer_address)
        for each in view.managers.values()
        if each.id != manager_id and each.etcd_peers_open
    ]
    return [*_managers(view, but=manager_id), *etcds, *(_node(view, each) for each in share)][:MAX_TARGETS]


def _managers(view: View, but: str = "") -> list[DialTarget]:
    return [
        DialTarget(name=f"manager {each.id}", address=each.api_address)
        for each in view.registered_managers.values()
        if each.id != but
    ]


def _node(view: View, node_id: str) -> DialTarget:
    about = view.node_status[node_id].description
    address = str(HostPort(about.address, about.stream_port))
    return DialTarget(name=f"node {hostname_of(view, node_id)}", address=address)
