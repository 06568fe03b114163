"""What every node is to know, kept in step with the store: a change costs what it changes, for those whom it concerns.

The invariant that the tests hold it to: whatever the changes, a node that was told its needs once, and then of the
records that `update` has marked for it, knows what `needs` of a catalogue made anew from the same view says.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Set

from google.protobuf.message import Message

from manager.dispatcher.attachments import Attachments
from manager.dispatcher.endpoints import Entry, drained, entry
from manager.dispatcher.marks import Mark, Marks, NoMarks, Topic
from manager.dispatcher.needs import Needs, News, increment, snapshot
from manager.dispatcher.network_index import NetworkIndex, Place
from manager.dispatcher.own_records import OwnRecords
from manager.dispatcher.peers import peer_of
from manager.dispatcher.service_records import ServiceRecords
from manager.dispatcher.sight import Sight
from manager.store import kinds
from manager.store.changes import Change
from manager.store.tables import View
from shoal.api.v1.dispatcher_pb2 import NetworkAssignment, Peer
from shoal.api.v1.file_pb2 import FileVersion
from shoal.api.v1.task_pb2 import Task
from shoal.published_ports import MESH_NETWORK


class Catalogue:
    """Answers what a node is to know, whole or record by record, from indexes by node and network."""

    def __init__(self, view: View) -> None:
        self._view = view
        self._entries: dict[str, Entry] = {}
        self._by_node: defaultdict[str, set[str]] = defaultdict(set)
        self._drained: set[str] = set()
        self._stopping: set[str] = set()
        self._peers = {node_id: peer for node_id in view.node_status if (peer := self._peer_record(node_id))}
        self._own = OwnRecords(view)
        self._networks = NetworkIndex(view, self._peers)
        self._services = ServiceRecords(view)
        self._attachments = Attachments(view)
        nobody = NoMarks()
        for task_id in view.tasks:
            self._refresh_task(task_id, nobody)

    def update(self, changes: Iterable[Change]) -> dict[str, set[Mark]]:
        """Take in changes that the view has already; the records that nodes have to be told anew, by node."""
        marks = Marks()
        for change in changes:
            self._take(change, marks)
        return marks.by_node()

    def _take(self, change: Change, marks: Marks) -> None:
        kind, identifier = change.kind.name, change.identifier
        if kind in (kinds.TASK.name, kinds.TASK_STATUS.name):
            self._refresh_task(identifier, marks)
        elif kind == kinds.NODE_STATUS.name:
            self._refresh_peer(identifier, marks)
        elif kind in (kinds.NETWORK.name, kinds.ALLOCATION.name):
            self._refresh_network(identifier, marks)
        elif kind in (kinds.SERVICE.name, kinds.SERVICE_STATUS.name):
            for network_id in self._services.refresh(identifier):
                marks.add(self._networks.nodes(network_id), ("service", identifier))
        elif kind == kinds.OVERLAY_KEYS.name:
            for network_id in self._networks.encrypted():
                self._refresh_network(network_id, marks)
        elif kind == kinds.NODE_VOLUMES.name:
            marks.add([identifier], *(("volume", held) for held in self._own.note_volumes(change)))
        elif kind == kinds.VOLUME.name:
            marks.add(self._own.holders(identifier), ("volume", identifier))
        elif kind == kinds.VOLUME_STATUS.name:
            marks.add(self._attachments.note(change), ("attachment", identifier))
        elif kind == kinds.SECRET.name:
            for volume_id, nodes in self._attachments.note_secret(change):
                marks.add(nodes, ("attachment", volume_id))
        elif kind == kinds.REVISION.name and change.new is None:
            self._own.forget_revision(identifier)

    def news(self, node_id: str, marks: Collection[Mark] | None) -> News:
        """What a node is to be told: of these records as they are now; of everything when None."""
        revision = self._view.revision
        if marks is None:
            needs = self.needs(node_id)
            return News(snapshot(needs, revision), needs.files)
        sight = self._networks.sight(node_id)
        message = increment(marks, lambda topic, key: self._find(sight, topic, key), revision)
        return News(message, {**self._own.files(node_id, _of(marks, "revision")), **self._given(node_id, marks)})

    def needs(self, node_id: str) -> Needs:
        """Everything that the node is to know."""
        sight = self._networks.sight(node_id)
        networks = sorted(sight.networks)
        services = {service_id for name in networks for service_id in self._services.on(name)}
        reached = {task_id for name in networks for task_id in self._networks.tasks(name)}
        revisions, attachments = self._own.revisions(node_id), sorted(self._attachments.of(node_id))
        return Needs(
            tasks={key: task for key in self._by_node.get(node_id, ()) if (task := self._task(node_id, key))},
            revisions={key: spec for key in sorted(revisions) if (spec := self._own.revision(node_id, key))},
            networks={key: sight.networks[key] for key in networks},
            endpoints={key: endpoint for key in reached if (endpoint := sight.endpoint(self._entries[key]))},
            peers={
                key: peer for key in sight.around() if (known := self._peers.get(key)) and (peer := sight.peer(known))
            },
            services={key: service for key in sorted(services) if (service := self._services.record(key, networks))},
            files={**self._own.files(node_id, revisions), **self._attachments.files(node_id, attachments)},
            attachments={key: each for key in attachments if (each := self._attachments.record(node_id, key))},
            removing_volumes=self._own.removing(node_id),
        )

    def _given(self, node_id: str, marks: Collection[Mark]) -> dict[str, FileVersion]:
        return self._attachments.files(node_id, _of(marks, "attachment"))

    def _find(self, sight: Sight, topic: Topic, key: str) -> Message | str | None:
        node_id = sight.node_id
        match topic:
            case "endpoint":  # the most by far
                found = self._entries.get(key)
                return sight.endpoint(found) if found is not None else None
            case "task":
                return self._task(node_id, key)
            case "revision":
                return self._own.revision(node_id, key)
            case "network":
                return sight.networks.get(key)
            case "peer":
                known = self._peers.get(key)
                return sight.peer(known) if known is not None else None
            case "service":
                return self._services.record(key, sight.networks.keys())
            case "attachment":
                return self._attachments.record(node_id, key)
            case "volume":
                return key if key in self._own.removing(node_id) else None

    def _task(self, node_id: str, task_id: str) -> Task | None:
        found = self._entries.get(task_id)
        return found.task if found is not None and found.task.node_id == node_id and not found.is_over else None

    @property
    def stopping(self) -> Set[str]:
        """Tasks that are to stop, and have not ended, until `drain` is called."""
        return self._stopping

    def leading_to(self, task_id: str) -> frozenset[str]:
        """The nodes that may lead clients to a task."""
        found = self._entries[task_id]
        nodes = (node_id for name in found.networks for node_id in self._networks.nodes(name))
        return frozenset({found.task.node_id, *nodes})

    def drain(self, task_id: str) -> str:
        """No node leads clients to the task any more; its own node, which is to be told of the task.

        Nothing else is looked at: what has changed of the task since the last `update`, or that it is gone, is for the
        next one to tell. Empty when the catalogue has no such task.
        """
        found = self._entries.get(task_id)
        if found is None:
            return ""
        self._drained.add(task_id)
        self._entries[task_id] = drained(found)
        self._stopping.discard(task_id)
        return found.task.node_id

    def _refresh_task(self, task_id: str, marks: Marks) -> None:
        old, new = self._entries.get(task_id), self._entry(task_id)
        if old == new:
            return
        if new is None or not new.live:
            self._drained.discard(task_id)
        # The new one comes first, so that a revision which only this task runs is not told again.
        if new is not None and new.live and self._own.enter(new):
            marks.add([new.task.node_id], ("revision", new.revision_key))
        left = self._leave(old) if old is not None else set()
        joined = self._enter(new) if new is not None else set()
        own = {each.task.node_id for each in (old, new) if each is not None}
        marks.add(own, ("task", task_id))
        if (old.endpoint if old else None) != (new.endpoint if new else None):
            networks = (old.networks if old else frozenset()) | (new.networks if new else frozenset())
            marks.add(own.union(*map(self._networks.nodes, networks)), ("endpoint", task_id))
        for place in left ^ joined:
            self._mark_membership(place, marks)

    def _entry(self, task_id: str) -> Entry | None:
        task = self._view.tasks.get(task_id)
        if task is None or not task.node_id:
            return None
        revision = self._view.revision_of(task.service_id, task.revision)
        return entry(task, self._view.task_status.get(task_id), revision, drained=task_id in self._drained)

    def _enter(self, new: Entry) -> set[Place]:
        task = new.task
        self._entries[task.id] = new
        self._by_node[task.node_id].add(task.id)
        if new.is_stopping:
            self._stopping.add(task.id)
        return self._networks.enter(new)

    def _leave(self, old: Entry) -> set[Place]:
        task = old.task
        del self._entries[task.id]
        self._by_node[task.node_id].discard(task.id)
        self._stopping.discard(task.id)
        if old.live:
            self._own.leave(old)
        return self._networks.leave(old)

    def _mark_membership(self, place: Place, marks: Marks) -> None:
        """A node has come to a network, or left it: to the others it is one node, to itself the whole network."""
        node_id, network_id = place
        if network_id != MESH_NETWORK:  # its nodes are on it with or without tasks
            marks.add(self._networks.nodes(network_id), ("peer", node_id))
            marks.add_all([node_id], self._everything_on(network_id))

    def _everything_on(self, network_id: str) -> Iterable[Mark]:
        yield "network", network_id
        yield from (("endpoint", task_id) for task_id in self._networks.tasks(network_id))
        yield from (("peer", node_id) for node_id in self._networks.nodes(network_id))
        yield from (("service", service_id) for service_id in self._services.on(network_id))

    def _refresh_network(self, network_id: str, marks: Marks) -> None:
        old, new = self._networks.refresh(network_id)
        if old == new:
            return
        itself: Mark = ("network", network_id)
        marks.add(self._networks.nodes(network_id), itself)
        if _scope(old) != _scope(new):
            marks.add_all(self._networks.nodes(network_id), self._everything_on(network_id))

    def _refresh_peer(self, node_id: str, marks: Marks) -> None:
        old, new = self._peers.pop(node_id, None), self._peer_record(node_id)
        if new is not None:
            self._peers[node_id] = new
        if old == new:
            return
        for network_id in (*self._networks.networks(node_id), MESH_NETWORK):
            marks.add(self._networks.told(network_id), ("peer", node_id))
        if (old is None) != (new is None) and self._networks.is_assigned(MESH_NETWORK):
            marks.add_all([node_id], self._everything_on(MESH_NETWORK))

    def _peer_record(self, node_id: str) -> Peer | None:
        status = self._view.node_status.get(node_id)
        return peer_of(node_id, status.description) if status is not None else None


def _of(marks: Collection[Mark], topic: Topic) -> list[str]:
    return [key for each, key in marks if each == topic]


def _scope(network: NetworkAssignment | None) -> tuple[bool, bool] | None:
    """Of a network, what decides how its nodes are told of the others on it."""
    return (network.node_local, network.key_generation > 0) if network is not None else None
