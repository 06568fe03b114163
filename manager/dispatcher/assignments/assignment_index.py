"""Index of every node's assignments, updated incrementally: a change costs only what it affects.

The invariant, which the tests verify: whatever the changes, a node that was sent its assignments once, and then the
records that `update` returned for it, has the `assignments` of an index built from the same view.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Set

from google.protobuf.message import Message

from manager.dispatcher.assignments.csi_attachments import Attachments
from manager.dispatcher.assignments.dirty_records import DirtyRecords, NoDirtyRecords, RecordKind, RecordRef
from manager.dispatcher.assignments.kept_containers import KeptContainers
from manager.dispatcher.assignments.network_index import Membership, NetworkIndex
from manager.dispatcher.assignments.network_visibility import NetworkVisibility
from manager.dispatcher.assignments.node_assignments import AssignmentChanges, NodeAssignments, increment, snapshot
from manager.dispatcher.assignments.node_peers import peer_of
from manager.dispatcher.assignments.service_endpoints import ServiceEndpointIndex
from manager.dispatcher.assignments.task_dependencies import TaskDependencies
from manager.dispatcher.assignments.task_entries import TaskEntry, as_withdrawn, task_entry
from manager.store import kinds
from manager.store.changes import Change
from manager.store.tables import View
from shoal.api.v1.dispatcher_pb2 import NetworkAssignment, Peer
from shoal.api.v1.file_pb2 import FileVersion
from shoal.api.v1.task_pb2 import Task
from shoal.networks.published_ports import MESH_NETWORK


class AssignmentIndex:
    """Computes a node's assignments, in full or by record, from indexes by node and network."""

    def __init__(self, view: View) -> None:
        self._view = view
        self._entries: dict[str, TaskEntry] = {}
        self._by_node: defaultdict[str, set[str]] = defaultdict(set)
        self._withdrawn: set[str] = set()
        self._stopping: set[str] = set()
        self._peers = {node_id: peer for node_id in view.node_status if (peer := self._peer_record(node_id))}
        self._dependencies = TaskDependencies(view)
        self._networks = NetworkIndex(view, self._peers)
        self._services = ServiceEndpointIndex(view)
        self._attachments = Attachments(view)
        self._kept = KeptContainers(view)
        self._handlers: dict[str, Callable[[Change, DirtyRecords], None]] = {
            kinds.TASK.name: self._on_task,
            kinds.TASK_STATUS.name: self._on_task,
            kinds.NODE_STATUS.name: self._on_node_status,
            kinds.NETWORK.name: self._on_network,
            kinds.ALLOCATION.name: self._on_network,
            kinds.SERVICE.name: self._on_service,
            kinds.SERVICE_STATUS.name: self._on_service,
            kinds.CONTAINER.name: self._on_service,
            kinds.OVERLAY_KEYS.name: self._on_overlay_keys,
            kinds.NODE_VOLUMES.name: self._on_node_volumes,
            kinds.VOLUME.name: self._on_volume,
            kinds.VOLUME_STATUS.name: self._on_volume_status,
            kinds.SECRET.name: self._on_secret,
            kinds.REVISION.name: self._on_revision,
        }
        none = NoDirtyRecords()
        for task_id in view.tasks:
            self._refresh_task(task_id, none)

    @property
    def handled_kinds(self) -> Set[str]:
        """Names of the kinds of records on which assignments depend."""
        return self._handlers.keys()

    def update(self, changes: Iterable[Change]) -> dict[str, set[RecordRef]]:
        """Apply changes that the view already has; returns the records that changed for each node."""
        dirty = DirtyRecords()
        for change in changes:
            if (handle := self._handlers.get(change.kind.name)) is not None:
                handle(change, dirty)
        return dirty.by_node()

    def _on_task(self, change: Change, dirty: DirtyRecords) -> None:
        self._refresh_task(change.identifier, dirty)
        for task in (change.old, change.new):
            if isinstance(task, Task) and task.container_id:
                self._refresh_kept(task.container_id, dirty)

    def _on_node_status(self, change: Change, dirty: DirtyRecords) -> None:
        self._refresh_peer(change.identifier, dirty)

    def _on_network(self, change: Change, dirty: DirtyRecords) -> None:
        self._refresh_network(change.identifier, dirty)

    def _on_service(self, change: Change, dirty: DirtyRecords) -> None:
        for network_id in self._services.refresh(change.identifier):
            dirty.add(self._networks.nodes(network_id), ("service", change.identifier))
        self._refresh_kept(change.identifier, dirty)

    def _refresh_kept(self, container_id: str, dirty: DirtyRecords) -> None:
        dirty.add(self._kept.refresh(container_id), ("container", container_id))

    def _on_overlay_keys(self, _: Change, dirty: DirtyRecords) -> None:
        for network_id in self._networks.encrypted():
            self._refresh_network(network_id, dirty)

    def _on_node_volumes(self, change: Change, dirty: DirtyRecords) -> None:
        volumes = self._dependencies.update_volumes(change)
        dirty.add([change.identifier], *(("volume", volume_id) for volume_id in volumes))

    def _on_volume(self, change: Change, dirty: DirtyRecords) -> None:
        dirty.add(self._dependencies.holders(change.identifier), ("volume", change.identifier))

    def _on_volume_status(self, change: Change, dirty: DirtyRecords) -> None:
        dirty.add(self._attachments.update(change), ("attachment", change.identifier))

    def _on_secret(self, change: Change, dirty: DirtyRecords) -> None:
        for volume_id, nodes in self._attachments.update_secret(change):
            dirty.add(nodes, ("attachment", volume_id))

    def _on_revision(self, change: Change, _: DirtyRecords) -> None:
        if change.new is None:
            self._dependencies.forget_revision(change.identifier)

    def changes(self, node_id: str, dirty: Collection[RecordRef] | None) -> AssignmentChanges:
        """What to send a node: these records as they are now, or everything if None."""
        revision = self._view.revision
        if dirty is None:
            assigned = self.assignments(node_id)
            return AssignmentChanges(snapshot(assigned, revision, self._view.epoch), assigned.files)
        visibility = self._networks.visibility(node_id)
        message = increment(dirty, lambda kind, key: self._find(visibility, kind, key), revision)
        return AssignmentChanges(
            message,
            {**self._dependencies.files(node_id, _keys_of(dirty, "revision")), **self._driver_files(node_id, dirty)},
        )

    def assignments(self, node_id: str) -> NodeAssignments:
        """Everything assigned to the node."""
        visibility = self._networks.visibility(node_id)
        networks = sorted(visibility.networks)
        services = {service_id for network_id in networks for service_id in self._services.on_network(network_id)}
        reachable = {task_id for network_id in networks for task_id in self._networks.tasks(network_id)}
        revisions, attachments = self._dependencies.revisions(node_id), sorted(self._attachments.on_node(node_id))
        return NodeAssignments(
            tasks={key: task for key in self._by_node.get(node_id, ()) if (task := self._task(node_id, key))},
            revisions={key: spec for key in sorted(revisions) if (spec := self._dependencies.revision(node_id, key))},
            networks={key: visibility.networks[key] for key in networks},
            endpoints={key: endpoint for key in reachable if (endpoint := visibility.endpoint(self._entries[key]))},
            peers={
                key: peer
                for key in visibility.visible_nodes()
                if (known := self._peers.get(key)) and (peer := visibility.peer(known))
            },
            services={key: service for key in sorted(services) if (service := self._services.endpoint(key, networks))},
            files={**self._dependencies.files(node_id, revisions), **self._attachments.files(node_id, attachments)},
            attachments={key: each for key in attachments if (each := self._attachments.attachment(node_id, key))},
            volumes_to_delete=self._dependencies.volumes_to_delete(node_id),
            containers=frozenset(self._kept.on_node(node_id)),
        )

    def _driver_files(self, node_id: str, dirty: Collection[RecordRef]) -> dict[str, FileVersion]:
        return self._attachments.files(node_id, _keys_of(dirty, "attachment"))

    def _find(self, visibility: NetworkVisibility, kind: RecordKind, key: str) -> Message | str | None:
        node_id = visibility.node_id
        match kind:
            case "endpoint":  # by far the most
                found = self._entries.get(key)
                return visibility.endpoint(found) if found is not None else None
            case "task":
                return self._task(node_id, key)
            case "revision":
                return self._dependencies.revision(node_id, key)
            case "network":
                return visibility.networks.get(key)
            case "peer":
                known = self._peers.get(key)
                return visibility.peer(known) if known is not None else None
            case "service":
                return self._services.endpoint(key, visibility.networks.keys())
            case "attachment":
                return self._attachments.attachment(node_id, key)
            case "volume":
                return key if key in self._dependencies.volumes_to_delete(node_id) else None
            case "container":
                return key if key in self._kept.on_node(node_id) else None

    def _task(self, node_id: str, task_id: str) -> Task | None:
        found = self._entries.get(task_id)
        return found.task if found is not None and found.task.node_id == node_id and not found.is_removable else None

    @property
    def stopping(self) -> Set[str]:
        """Tasks that must stop and have not ended, until `mark_withdrawn` is called."""
        return self._stopping

    def nodes_routing_to(self, task_id: str) -> frozenset[str]:
        """The nodes that may route clients to a task."""
        found = self._entries[task_id]
        nodes = (node_id for network_id in found.networks for node_id in self._networks.nodes(network_id))
        return frozenset({found.task.node_id, *nodes})

    def mark_withdrawn(self, task_id: str) -> str:
        """Record that no node routes clients to the task any more; returns its own node, which must be sent the task.

        Other changes of the task since the last `update`, also its deletion, are left to the next one. Empty when the
        index has no such task.
        """
        found = self._entries.get(task_id)
        if found is None:
            return ""
        self._withdrawn.add(task_id)
        self._entries[task_id] = as_withdrawn(found)
        self._stopping.discard(task_id)
        return found.task.node_id

    def _refresh_task(self, task_id: str, dirty: DirtyRecords) -> None:
        old, new = self._entries.get(task_id), self._entry(task_id)
        if old == new:
            return
        if new is None or not new.live:
            self._withdrawn.discard(task_id)
        # The new entry comes first, so that a revision which only this task runs is not sent again.
        if new is not None and new.live and self._dependencies.add_task(new):
            dirty.add([new.task.node_id], ("revision", new.revision_key))
        left = self._remove(old) if old is not None else set()
        joined = self._add(new) if new is not None else set()
        own = {each.task.node_id for each in (old, new) if each is not None}
        dirty.add(own, ("task", task_id))
        if (old.endpoint if old else None) != (new.endpoint if new else None):
            networks = (old.networks if old else frozenset()) | (new.networks if new else frozenset())
            dirty.add(own.union(*map(self._networks.nodes, networks)), ("endpoint", task_id))
        for membership in left ^ joined:
            self._mark_membership(membership, dirty)

    def _entry(self, task_id: str) -> TaskEntry | None:
        task = self._view.tasks.get(task_id)
        if task is None or not task.node_id:
            return None
        revision = self._view.revision_of(task.service_id, task.revision)
        return task_entry(task, self._view.task_status.get(task_id), revision, withdrawn=task_id in self._withdrawn)

    def _add(self, new: TaskEntry) -> set[Membership]:
        task = new.task
        self._entries[task.id] = new
        self._by_node[task.node_id].add(task.id)
        if new.is_stopping:
            self._stopping.add(task.id)
        return self._networks.add_task(new)

    def _remove(self, old: TaskEntry) -> set[Membership]:
        task = old.task
        del self._entries[task.id]
        self._by_node[task.node_id].discard(task.id)
        self._stopping.discard(task.id)
        if old.live:
            self._dependencies.remove_task(old)
        return self._networks.remove_task(old)

    def _mark_membership(self, membership: Membership, dirty: DirtyRecords) -> None:
        """A node joined or left a network: the others get one peer, the node itself gets the whole network."""
        node_id, network_id = membership
        if network_id != MESH_NETWORK:  # nodes are on it with or without tasks
            dirty.add(self._networks.nodes(network_id), ("peer", node_id))
            dirty.add_all([node_id], self._everything_on(network_id))

    def _everything_on(self, network_id: str) -> Iterable[RecordRef]:
        yield "network", network_id
        yield from (("endpoint", task_id) for task_id in self._networks.tasks(network_id))
        yield from (("peer", node_id) for node_id in self._networks.nodes(network_id))
        yield from (("service", service_id) for service_id in self._services.on_network(network_id))

    def _refresh_network(self, network_id: str, dirty: DirtyRecords) -> None:
        old, new = self._networks.refresh(network_id)
        if old == new:
            return
        record: RecordRef = ("network", network_id)
        dirty.add(self._networks.nodes(network_id), record)
        if _scope(old) != _scope(new):
            dirty.add_all(self._networks.nodes(network_id), self._everything_on(network_id))

    def _refresh_peer(self, node_id: str, dirty: DirtyRecords) -> None:
        old, new = self._peers.pop(node_id, None), self._peer_record(node_id)
        if new is not None:
            self._peers[node_id] = new
        if old == new:
            return
        for network_id in (*self._networks.networks(node_id), MESH_NETWORK):
            dirty.add(self._networks.informed_nodes(network_id), ("peer", node_id))
        if (old is None) != (new is None) and self._networks.is_assigned(MESH_NETWORK):
            dirty.add_all([node_id], self._everything_on(MESH_NETWORK))

    def _peer_record(self, node_id: str) -> Peer | None:
        status = self._view.node_status.get(node_id)
        return peer_of(node_id, status.description) if status is not None else None


def _keys_of(dirty: Collection[RecordRef], kind: RecordKind) -> list[str]:
    return [key for each, key in dirty if each == kind]


def _scope(network: NetworkAssignment | None) -> tuple[bool, bool] | None:
    """What decides which endpoints and peers the nodes of a network see."""
    return (network.node_local, network.key_generation > 0) if network is not None else None
