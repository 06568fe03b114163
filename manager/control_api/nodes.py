"""Nodes: shown with what is reserved on them, changed, removed."""

from manager.control_api.lookup import find_node, hostname_of
from manager.control_api.node_warnings import NodeWarnings
from manager.control_api.seams import NowMs, Records
from manager.control_api.validate_node import check_node
from manager.planner.generic import Stock
from manager.store.changes import delete, expect, put
from manager.store.kinds import NODE, NODE_STATUS, NODE_VOLUMES
from manager.store.tables import View
from shoal.api.v1.control_pb2 import (
    GetNodeRequest,
    ListNodesRequest,
    ListNodesResponse,
    NodeView,
    RemoveNodeRequest,
    RemoveNodeResponse,
    UpdateNodeRequest,
)
from shoal.api.v1.meta_pb2 import Resources
from shoal.api.v1.node_pb2 import Node, NodeStatus
from shoal.errors import Conflict, InvalidInput, Refused
from shoal.task_states import is_live


class Nodes:
    """The nodes' calls."""

    def __init__(self, *, store: Records, now_ms: NowMs) -> None:
        self._store = store
        self._now_ms = now_ms

    async def get(self, request: GetNodeRequest) -> NodeView:
        view = self._store.tables
        return node_view(view, find_node(view, request.node), NodeWarnings(view))

    async def list(self, _: ListNodesRequest) -> ListNodesResponse:
        view = self._store.tables
        ordered = sorted(view.nodes.values(), key=lambda node: (hostname_of(view, node.meta.id), node.meta.id))
        warnings = NodeWarnings(view)
        listing = ListNodesResponse(nodes=[node_view(view, node, warnings) for node in ordered])
        for each in listing.nodes:
            each.status.description.ClearField("devices")  # up to hundreds of names; `get` tells them
        return listing

    async def update(self, request: UpdateNodeRequest) -> NodeView:
        """Raises Conflict when the node changed since `request.version`."""
        node = find_node(self._store.tables, request.node)
        faults = list(check_node(request.spec))
        if faults:
            raise InvalidInput(faults)
        if request.version != node.meta.version:
            raise Conflict(
                f"node {node.meta.id} changed since it was read (version {request.version}, now {node.meta.version}); "
                "read it again and repeat the change"
            )
        if request.spec == node.spec:
            return node_view(self._store.tables, node, NodeWarnings(self._store.tables))
        changed = Node()
        changed.CopyFrom(node)
        changed.spec.CopyFrom(request.spec)
        changed.meta.updated_at_ms = self._now_ms()
        unchanged = expect(NODE, node.meta.id, node.meta.version)
        changed.meta.version = await self._store.commit([put(NODE, node.meta.id, changed)], expects=[unchanged])
        return node_view(self._store.tables, changed, NodeWarnings(self._store.tables))

    async def remove(self, request: RemoveNodeRequest) -> RemoveNodeResponse:
        """Its certificate is worth nothing from now on, and the planner gives up its tasks.

        Raises:
            Refused: it is ready, and `force` is not given.
        """
        view = self._store.tables
        node = find_node(view, request.node)
        identifier = node.meta.id
        status = view.node_status.get(identifier)
        if status is not None and status.state == NodeStatus.READY and not request.force:
            name = hostname_of(view, identifier)
            raise Refused(f'node "{name}" is ready: stop its agent first, or force the removal')
        unchanged = expect(NODE, identifier, node.meta.version)
        await self._store.commit(
            [delete(NODE, identifier), delete(NODE_STATUS, identifier), delete(NODE_VOLUMES, identifier)],
            expects=[unchanged],
        )
        return RemoveNodeResponse(id=identifier)


def node_view(view: View, node: Node, warnings: NodeWarnings) -> NodeView:
    """A node with what its live tasks reserve."""
    reserved = Resources()
    stock = Stock()
    number = 0
    for task in view.tasks_on(node.meta.id).values():
        if not is_live(task, view.task_status.get(task.id)):
            continue
        number += 1
        stock.take(task.generic)
        revision = view.revision_of(task.service_id, task.revision)
        if revision is not None:
            amounts = revision.spec.task.reservations
            reserved.nano_cpus += amounts.nano_cpus
            reserved.memory_bytes += amounts.memory_bytes
            reserved.pids += amounts.pids
    reserved.generic.extend(stock.held())
    return NodeView(
        node=node,
        status=view.node_status.get(node.meta.id),
        reserved=reserved,
        tasks=number,
        warnings=warnings.of(node.meta.id),
    )
