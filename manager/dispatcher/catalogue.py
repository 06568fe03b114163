"""Which task and node is on which network, kept in step with the store: a change touches those whom it concerns.

The invariant that the tests hold it to: after any sequence of updates, `needs` of every node equals that of a catalogue
made anew from the same view, and `update` has named every node whose needs changed.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from manager.dispatcher.needs import Needs, trimmed
from manager.dispatcher.service_records import ServiceRecords
from manager.files.nouns import needed_versions
from manager.store import kinds
from manager.store.changes import Change
from manager.store.tables import View
from shoal import task_states
from shoal.api.v1.dispatcher_pb2 import EndpointPort, Names, NetworkAssignment, Peer, TaskEndpoint
from shoal.api.v1.file_pb2 import FileVersion
from shoal.api.v1.service_pb2 import ServiceRevision
from shoal.api.v1.task_pb2 import Task, TaskState, TaskStatus
from shoal.published_ports import MESH_NETWORK


@dataclass(frozen=True)
class Entry:
    """A task as the catalogue last saw it.

    Attributes:
        task: as the agent is to see it: an ended one's `state` is the one observed at its end, so that an agent
            which lost its journal does not run it a second time.
        live: it has not ended; an ended task needs no revision and no network any more.
        endpoint: how others reach it on all its networks; None when it is on none, or has ended.
    """

    task: Task
    live: bool
    endpoint: TaskEndpoint | None


class Catalogue:
    """Answers what a node needs, from indexes by node and network."""

    def __init__(self, view: View) -> None:
        self._view = view
        self._entries: dict[str, Entry] = {}
        self._by_node: defaultdict[str, dict[str, Entry]] = defaultdict(dict)
        self._on_network: defaultdict[str, dict[str, Entry]] = defaultdict(dict)
        self._nodes_of: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self._peers: dict[str, Peer] = {}
        self._trimmed: dict[str, ServiceRevision] = {}
        self._drained: set[str] = set()
        self._stopping: set[str] = set()
        self._services = ServiceRecords(view)
        for node_id in view.node_status:
            self._refresh_peer(node_id)
        for task_id in view.tasks:
            self._refresh_task(task_id)

    def update(self, changes: Iterable[Change]) -> set[str]:
        """Take in changes that the view has already; the nodes whose needs may differ now."""
        affected: set[str] = set()
        for change in changes:
            if change.kind.name in (kinds.TASK.name, kinds.TASK_STATUS.name):
                affected |= self._refresh_task(change.identifier)
            elif change.kind.name == kinds.NODE_STATUS.name:
                affected |= self._refresh_peer(change.identifier)
            elif change.kind.name in (kinds.NETWORK.name, kinds.ALLOCATION.name):
                affected |= self._nodes_on([change.identifier])
            elif change.kind.name in (kinds.SERVICE.name, kinds.SERVICE_STATUS.name):
                affected |= self._nodes_on(self._services.refresh(change.identifier))
            elif change.kind.name == kinds.NODE_VOLUMES.name:
                affected.add(change.identifier)
            elif change.kind.name == kinds.VOLUME.name:
                affected |= self._holders(change.identifier)
            elif change.kind.name == kinds.REVISION.name and change.new is None:
                self._trimmed.pop(change.identifier, None)
        return affected

    def needs(self, node_id: str) -> Needs:
        """Everything that the node is to know."""
        mine = self._by_node.get(node_id, {})
        live = [entry.task for entry in mine.values() if entry.live]
        names = {address.network_id for task in live for address in task.addresses} | self._mesh()
        networks = {name: network for name in sorted(names) if (network := self._network(name)) is not None}
        endpoints = self._endpoints(networks, node_id)
        # Clients come in by any node, so each must know the way back to every other.
        known = self._peers if MESH_NETWORK in networks else {endpoint.node_id for endpoint in endpoints.values()}
        others = set(known) - {node_id}
        return Needs(
            tasks={entry.task.id: entry.task for entry in mine.values() if not _is_over(entry)},
            revisions=self._revisions(live),
            networks=networks,
            endpoints=endpoints,
            peers={other: self._peers[other] for other in others if other in self._peers},
            services=self._services.on(networks.keys()),
            files=self._files(live),
            removing_volumes=self._removing_volumes(node_id),
        )

    @property
    def stopping(self) -> frozenset[str]:
        """Tasks that are to stop, and have not ended, until `drain` is called."""
        return frozenset(self._stopping)

    def leading_to(self, task_id: str) -> frozenset[str]:
        """The nodes that may lead clients to a task."""
        entry = self._entries[task_id]
        return frozenset({entry.task.node_id, *self._nodes_on(_networks_of([entry]))})

    def drain(self, task_id: str) -> str:
        """No node leads clients to the task any more; its own node, which is to be told."""
        self._drained.add(task_id)
        self._refresh_task(task_id)
        return self._entries[task_id].task.node_id

    def _refresh_task(self, task_id: str) -> set[str]:
        old, new = self._entries.get(task_id), self._entry(task_id)
        if old == new:
            return set()
        if old is not None:
            self._leave(old)
        if new is None or not new.live:
            self._drained.discard(task_id)
        if new is not None:
            self._enter(new)
        concerned = [entry for entry in (old, new) if entry is not None]
        affected = {entry.task.node_id for entry in concerned}
        if _endpoint(old) != _endpoint(new):
            affected |= self._nodes_on(_networks_of(concerned))
        return affected - {""}

    def _refresh_peer(self, node_id: str) -> set[str]:
        status = self._view.node_status.get(node_id)
        new = _peer(node_id, status.description.address, status.description.vtep_mac) if status else None
        if self._peers.get(node_id) == new:
            return set()
        if new is None:
            del self._peers[node_id]
        else:
            self._peers[node_id] = new
        networks = _networks_of(self._by_node.get(node_id, {}).values()) | self._mesh()
        return self._nodes_on(networks) - {node_id}

    def _entry(self, task_id: str) -> Entry | None:
        task = self._view.tasks.get(task_id)
        if task is None or not task.node_id:
            return None
        status = self._view.task_status.get(task_id)
        live = task_states.is_live(task, status)
        reachable = live and len(task.addresses) > 0
        endpoint = endpoint_of(task, status, self._revision(task)) if reachable else None
        if live and task_id in self._drained:
            return Entry(_as_drained(task), live, endpoint)
        return Entry(task if live else _ended(task, status), live, endpoint)

    def _enter(self, entry: Entry) -> None:
        task = entry.task
        self._entries[task.id] = self._by_node[task.node_id][task.id] = entry
        if entry.endpoint is not None and not task_states.is_wanted(task) and not task.drained:
            self._stopping.add(task.id)
        for name in _networks_of([entry]):
            self._on_network[name][task.id] = entry
            self._nodes_of[name][task.node_id] += 1

    def _leave(self, entry: Entry) -> None:
        task = entry.task
        del self._entries[task.id]
        self._stopping.discard(task.id)
        _discard(self._by_node, task.node_id, task.id)
        for name in _networks_of([entry]):
            _discard(self._on_network, name, task.id)
            self._nodes_of[name][task.node_id] -= 1
            if not self._nodes_of[name][task.node_id]:
                del self._nodes_of[name][task.node_id]

    def _nodes_on(self, networks: Iterable[str]) -> set[str]:
        return {node_id for name in networks for node_id in self._members(name)}

    def _members(self, network_id: str) -> Iterable[str]:
        return self._peers if network_id == MESH_NETWORK else self._nodes_of.get(network_id, ())

    def _mesh(self) -> set[str]:
        """The mesh's network, once there is one."""
        return {MESH_NETWORK} & self._view.networks.keys()

    def _network(self, network_id: str) -> NetworkAssignment | None:
        network, allocation = self._view.networks.get(network_id), self._view.allocations.get(network_id)
        if network is None or allocation is None:
            return None
        return NetworkAssignment(
            network_id=network_id,
            name=network.spec.name,
            subnet=allocation.subnet,
            internal=network.spec.internal,
            block=allocation.block,
            node_local=network.spec.driver == "bridge",
            mesh=network_id == MESH_NETWORK,
        )

    def _endpoints(self, networks: Mapping[str, NetworkAssignment], node_id: str) -> dict[str, TaskEndpoint]:
        """On networks that end at the node, its own alone."""
        abroad = {name: network for name, network in networks.items() if not network.node_local}
        found = {task_id: entry for name in networks for task_id, entry in self._on_network.get(name, {}).items()}
        narrow = (
            narrowed(entry.endpoint, networks if entry.task.node_id == node_id else abroad)
            for entry in found.values()
            if entry.endpoint is not None
        )
        return {endpoint.task_id: endpoint for endpoint in narrow if endpoint.addresses}

    def _revisions(self, live: Iterable[Task]) -> dict[str, ServiceRevision]:
        keys = {_revision_key(task) for task in live}
        return {key: self._trim(self._view.revisions[key]) for key in sorted(keys) if key in self._view.revisions}

    def _holders(self, volume_id: str) -> set[str]:
        records = self._view.node_volumes.items()
        return {node_id for node_id, each in records if any(held.volume_id == volume_id for held in each.volumes)}

    def _removing_volumes(self, node_id: str) -> frozenset[str]:
        """Only those that are marked: data without a record may be of a cluster that was restored from a backup."""
        record = self._view.node_volumes.get(node_id)
        held = {each.volume_id for each in record.volumes} if record is not None else ()
        volumes = self._view.volumes
        return frozenset(identifier for identifier in held if identifier in volumes and volumes[identifier].removing)

    def _files(self, live: Iterable[Task]) -> dict[str, FileVersion]:
        """What the containers of these tasks alone need."""
        revisions = [self._view.revisions.get(key) for key in sorted({_revision_key(task) for task in live})]
        containers = (revision.spec.task.container for revision in revisions if revision is not None)
        return {key: version for each in containers for key, version in needed_versions(self._view, each)}

    def _trim(self, revision: ServiceRevision) -> ServiceRevision:
        key = f"{revision.service_id}/{revision.number}"
        if key not in self._trimmed:
            self._trimmed[key] = trimmed(revision)
        return self._trimmed[key]

    def _revision(self, task: Task) -> ServiceRevision | None:
        return self._view.revision_of(task.service_id, task.revision)


def endpoint_of(task: Task, status: TaskStatus | None, revision: ServiceRevision | None) -> TaskEndpoint:
    """How a live task is reached. One that is to stop keeps its routes until it has ended, but no name leads to it."""
    endpoint = TaskEndpoint(
        task_id=task.id,
        service_id=task.service_id,
        slot=task.slot,
        node_id=task.node_id,
        addresses=task.addresses,
        ready=task_states.is_wanted(task) and task_states.is_ready(task, status),
    )
    if revision is not None:
        endpoint.service_name = revision.spec.name
        endpoint.ports.extend(
            EndpointPort(protocol=port.protocol, target=port.target, published=port.published)
            for port in revision.spec.endpoint.ports
        )
        for attachment in revision.spec.task.networks:
            if attachment.aliases:
                endpoint.aliases[attachment.network].CopyFrom(Names(names=attachment.aliases))
    return endpoint


def narrowed(endpoint: TaskEndpoint, networks: Mapping[str, NetworkAssignment]) -> TaskEndpoint:
    """The endpoint on these networks alone; the very same object when it is on no other."""
    if all(address.network_id in networks for address in endpoint.addresses):
        return endpoint
    narrow = TaskEndpoint()
    narrow.CopyFrom(endpoint)
    del narrow.addresses[:]
    narrow.addresses.extend(address for address in endpoint.addresses if address.network_id in networks)
    for name in [name for name in narrow.aliases if name not in networks]:
        del narrow.aliases[name]
    return narrow


def _as_drained(task: Task) -> Task:
    copy = Task()
    copy.CopyFrom(task)
    copy.drained = True
    return copy


def _ended(task: Task, status: TaskStatus | None) -> Task:
    copy = Task()
    copy.CopyFrom(task)
    copy.state = TaskState.ValueType(task_states.observed(task, status))
    return copy


def _is_over(entry: Entry) -> bool:
    """Nothing is left for the agent to do or to keep: it may forget the task, and its log with it."""
    task = entry.task
    return not entry.live and (task.desired_state >= TaskState.REMOVE or task.state == TaskState.ORPHANED)


def _networks_of(entries: Iterable[Entry]) -> set[str]:
    return {address.network_id for entry in entries if entry.endpoint is not None for address in entry.task.addresses}


def _endpoint(entry: Entry | None) -> TaskEndpoint | None:
    return entry.endpoint if entry is not None else None


def _peer(node_id: str, address: str, vtep_mac: str) -> Peer | None:
    return Peer(node_id=node_id, address=address, vtep_mac=vtep_mac) if address else None


def _revision_key(task: Task) -> str:
    return f"{task.service_id}/{task.revision}"


def _discard(index: defaultdict[str, dict[str, Entry]], group: str, task_id: str) -> None:
    index[group].pop(task_id, None)
    if not index[group]:
        del index[group]
