"""What a node needs for its own tasks only: their specs, the files that those refer to, and volumes to delete."""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping

from manager.dispatcher.assignments.node_assignments import trimmed
from manager.dispatcher.assignments.task_entries import TaskEntry
from manager.file_contents.file_kinds import needed_versions
from manager.store.changes import Change
from manager.store.tables import View
from shoal.api.v1.file_pb2 import FileVersion
from shoal.api.v1.service_pb2 import ServiceRevision
from shoal.api.v1.volume_pb2 import NodeVolumes


class TaskDependencies:
    """An index by node; its owner keeps it in sync with the store."""

    def __init__(self, view: View) -> None:
        self._view = view
        self._revisions: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self._trimmed: dict[str, ServiceRevision] = {}
        self._holders: defaultdict[str, set[str]] = defaultdict(set)
        for node_id, record in view.node_volumes.items():
            self._add_volumes(node_id, record)

    def add_task(self, entry: TaskEntry) -> bool:
        """Add a live task; whether it is the first on its node that runs its revision."""
        running = self._revisions[entry.task.node_id]
        running[entry.revision_key] += 1
        return running[entry.revision_key] == 1

    def remove_task(self, entry: TaskEntry) -> None:
        """Remove a task that is no longer live."""
        running = self._revisions[entry.task.node_id]
        running[entry.revision_key] -= 1
        if not running[entry.revision_key]:
            del running[entry.revision_key]

    def revisions(self, node_id: str) -> Collection[str]:
        """Keys of the revisions that live tasks of the node run."""
        return self._revisions.get(node_id, {}).keys()

    def revision(self, node_id: str, key: str) -> ServiceRevision | None:
        """A revision as it is sent to the node; None if none of its live tasks runs it."""
        if key not in self.revisions(node_id) or (record := self._view.revisions.get(key)) is None:
            return None
        if key not in self._trimmed:
            self._trimmed[key] = trimmed(record)
        return self._trimmed[key]

    def forget_revision(self, key: str) -> None:
        """Call when a revision was deleted."""
        self._trimmed.pop(key, None)

    def files(self, node_id: str, new: Collection[str]) -> Mapping[str, FileVersion]:
        """The files that the containers of these revisions need and those of the node's other live tasks do not."""
        if not new:
            return {}
        running = self.revisions(node_id)
        known = self._files(key for key in running if key not in new)
        return {key: version for key, version in self._files(sorted(new)).items() if key not in known}

    def _files(self, keys: Iterable[str]) -> Mapping[str, FileVersion]:
        revisions = [self._view.revisions.get(key) for key in keys]
        containers = (revision.spec.task.container for revision in revisions if revision is not None)
        return {key: version for each in containers for key, version in needed_versions(self._view, each)}

    def update_volumes(self, change: Change) -> Collection[str]:
        """Apply a change of a node's volumes; returns those that it must delete now."""
        node_id = change.identifier
        if isinstance(change.old, NodeVolumes):
            for held in change.old.volumes:
                self._holders[held.volume_id].discard(node_id)
        if isinstance(change.new, NodeVolumes):
            self._add_volumes(node_id, change.new)
        return self.volumes_to_delete(node_id)

    def _add_volumes(self, node_id: str, record: NodeVolumes) -> None:
        for held in record.volumes:
            self._holders[held.volume_id].add(node_id)

    def holders(self, volume_id: str) -> Collection[str]:
        """The nodes that have data of the volume."""
        return self._holders.get(volume_id, ())

    def volumes_to_delete(self, node_id: str) -> frozenset[str]:
        """Volumes on the node that are marked; data without a record may be of a cluster restored from a backup."""
        record = self._view.node_volumes.get(node_id)
        held = {each.volume_id for each in record.volumes} if record is not None else ()
        volumes = self._view.volumes
        return frozenset(identifier for identifier in held if identifier in volumes and volumes[identifier].removing)
