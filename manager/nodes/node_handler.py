"""Node calls: get, list, update, remove."""

from manager import node_identity
from manager.interfaces import NowMs
from manager.nodes.node_warnings import NodeWarnings
from manager.planner.index.generic_resources import GenericResourcePool
from manager.records.concurrent_changes import retried
from manager.records.object_lookup import find_node, hostname_of
from manager.records.versions import check_version
from manager.store.changes import ABSENT, Expect, Write, delete, expect, put
from manager.store.kinds import NAME, NODE, NODE_IMAGES, NODE_STATUS, NODE_VOLUMES
from manager.store.record_store import RecordStore
from manager.store.tables import View
from manager.validation.node_rules import check_node
from shoal.api.v1.control_pb2 import (
    GetNodeRequest,
    ListNodesRequest,
    ListNodesResponse,
    NodeView,
    RemoveNodeRequest,
    RemoveNodeResponse,
    UpdateNodeRequest,
)
from shoal.api.v1.meta_pb2 import Meta, Name, Resources
from shoal.api.v1.node_pb2 import Node, NodeSpec, NodeStatus
from shoal.errors import AlreadyExists, InvalidInput, Refused
from shoal.rpc.caller import Caller
from shoal.task_states import is_live


class NodeHandler:
    """The nodes' calls."""

    def __init__(self, *, store: RecordStore, now_ms: NowMs) -> None:
        self._store = store
        self._now_ms = now_ms

    async def get(self, request: GetNodeRequest, caller: Caller) -> NodeView:
        view = self._store.tables
        return node_view(view, find_node(view, request.node), NodeWarnings(view))

    async def list(self, _: ListNodesRequest, caller: Caller) -> ListNodesResponse:
        view = self._store.tables
        ordered = sorted(view.nodes.values(), key=lambda node: (hostname_of(view, node.meta.id), node.meta.id))
        warnings = NodeWarnings(view)
        listing = ListNodesResponse(nodes=[node_view(view, node, warnings) for node in ordered])
        for each in listing.nodes:
            each.status.description.ClearField("devices")  # up to hundreds of names; `get` returns them
        return listing

    async def update(self, request: UpdateNodeRequest, caller: Caller) -> NodeView:
        """Raises Conflict: changed since `request.version`. AlreadyExists: another node has the hostname or address."""
        node = find_node(self._store.tables, request.node)
        spec = _merged_spec(request.spec, node)
        faults = list(check_node(spec))
        if faults:
            raise InvalidInput(faults)
        check_version(f"node {node.meta.id}", request.version, node.meta.version)
        if spec == node.spec:
            return node_view(self._store.tables, node, NodeWarnings(self._store.tables))
        changed = Node()
        changed.CopyFrom(node)
        changed.spec.CopyFrom(spec)
        changed.meta.updated_at_ms = self._now_ms()
        renames, expects = _name_changes(self._store.tables, node, spec)
        changed.meta.version = await self._store.commit(
            [put(NODE, node.meta.id, changed), *renames],
            expects=[expect(NODE, node.meta.id, node.meta.version), *expects],
        )
        return node_view(self._store.tables, changed, NodeWarnings(self._store.tables))

    async def remove(self, request: RemoveNodeRequest, caller: Caller) -> RemoveNodeResponse:
        """Its certificate is rejected from now on, and the planner replaces its tasks.

        Raises:
            Refused: it is ready, and `force` is not set.
        """
        identifier = find_node(self._store.tables, request.node).meta.id  # not another one that has the name by then
        return await retried(lambda: self._remove(identifier, request))

    async def _remove(self, identifier: str, request: RemoveNodeRequest) -> RemoveNodeResponse:
        view = self._store.tables
        node = find_node(view, identifier)
        status = view.node_status.get(identifier)
        if status is not None and status.state == NodeStatus.READY and not request.force:
            name = hostname_of(view, identifier)
            raise Refused(f'node "{name}" is ready; stop its agent first, or use --force')
        unchanged = expect(NODE, identifier, node.meta.version)
        names = node_identity.name_keys(node_identity.recorded(node))
        await self._store.commit(
            [
                delete(NODE, identifier),
                delete(NODE_STATUS, identifier),
                delete(NODE_VOLUMES, identifier),
                delete(NODE_IMAGES, identifier),
                *(delete(NAME, name) for name in names if node_identity.name_owner(view, name) == identifier),
            ],
            expects=[unchanged],
        )
        return RemoveNodeResponse(id=identifier)


def _merged_spec(spec: NodeSpec, node: Node) -> NodeSpec:
    """The requested spec; it keeps the identity of the node unless it has one."""
    if spec.HasField("identity") or not node.spec.HasField("identity"):
        return spec
    merged = NodeSpec(identity=node.spec.identity)
    merged.MergeFrom(spec)
    return merged


def _name_changes(view: View, node: Node, spec: NodeSpec) -> tuple[list[Write], list[Expect]]:
    """Release former names (hostname, address), and claim new ones. Raises AlreadyExists: another node has one."""
    identifier = node.meta.id
    old = {*node_identity.name_keys(node_identity.recorded(node))}
    new = {*node_identity.name_keys(spec.identity if spec.HasField("identity") else None)}
    for name in new - old:
        if (other := node_identity.name_owner(view, name)) not in ("", identifier):
            raise AlreadyExists(node_identity.name_taken(view, name, other))
    removed = [name for name in sorted(old - new) if node_identity.name_owner(view, name) == identifier]
    added = [name for name in sorted(new - old) if not node_identity.name_owner(view, name)]
    writes = [*(delete(NAME, name) for name in removed)]
    writes += [put(NAME, name, Name(meta=Meta(id=identifier))) for name in added]
    return writes, [expect(NAME, name, ABSENT) for name in added]


def node_view(view: View, node: Node, warnings: NodeWarnings) -> NodeView:
    """A node with what its live tasks reserve."""
    reserved = Resources()
    stock = GenericResourcePool()
    number = 0
    for task in view.tasks_on(node.meta.id).values():
        if not is_live(task, view.task_status.get(task.id)):
            continue
        number += 1
        stock.claim(task.generic_resources)
        revision = view.revision_of(task.service_id, task.revision)
        if revision is not None:
            amounts = revision.spec.task.reservations
            reserved.nano_cpus += amounts.nano_cpus
            reserved.memory_bytes += amounts.memory_bytes
            reserved.pids += amounts.pids
    reserved.generic_resources.extend(stock.claimed())
    return NodeView(
        node=node,
        status=view.node_status.get(node.meta.id),
        reserved=reserved,
        tasks=number,
        warnings=warnings.warnings_for(node.meta.id),
    )
