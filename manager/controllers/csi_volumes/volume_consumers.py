"""Index of the nodes whose tasks use each CSI volume, kept in sync with the store."""

from collections import defaultdict
from collections.abc import Iterable

from manager.planner.spec.mount_rules import is_csi_mount
from manager.store.changes import Change
from manager.store.tables import View
from shoal.api.v1.service_pb2 import ServiceRevision
from shoal.task_states import is_live


class VolumeConsumers:
    """Costs nothing for services that mount no CSI volume."""

    def __init__(self, view: View) -> None:
        self._view = view
        self._by_revision: dict[str, frozenset[str]] = {}
        self._services: defaultdict[str, set[str]] = defaultdict(set)
        for key, revision in view.revisions.items():
            self._index(key, revision)

    def update_revision(self, change: Change) -> None:
        """A revision was created or deleted."""
        if isinstance(change.new, ServiceRevision):
            self._index(change.identifier, change.new)
        else:
            self._by_revision.pop(change.identifier, None)

    def of_task(self, task_id: str) -> Iterable[str]:
        """Volumes that the task's service has, or had, mounted."""
        task = self._view.tasks.get(task_id)
        return self.of_service(task.service_id) if task is not None else ()

    def of_service(self, service_id: str) -> Iterable[str]:
        """Volumes that any revision of the service mounts."""
        return [volume_id for volume_id, services in self._services.items() if service_id in services]

    def nodes(self, volume_id: str) -> frozenset[str]:
        """Nodes with live tasks that have it mounted, or are about to."""
        found = set()
        for service_id in self._services.get(volume_id, ()):
            for task in self._view.tasks_of(service_id).values():
                mounted = self._by_revision.get(f"{task.service_id}/{task.revision}", ())
                if task.node_id and volume_id in mounted and is_live(task, self._view.task_status.get(task.id)):
                    found.add(task.node_id)
        return frozenset(found)

    def _index(self, key: str, revision: ServiceRevision) -> None:
        mounts = revision.spec.task.container.mounts
        csi = frozenset(mount.source for mount in mounts if is_csi_mount(mount))
        if csi:
            self._by_revision[key] = csi
        for volume_id in csi:
            self._services[volume_id].add(revision.service_id)
