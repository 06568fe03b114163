"""Deletes containers that were removed, and those with `--rm` whose run has ended, once nothing of them runs.

Run by the leader alone. A container's record is deleted here only, or by the call that removes one that does not run;
its node deletes its root file system after that, never before. The anonymous volumes of a container go with it.
"""

import logging
from collections.abc import Iterable, Iterator
from functools import partial

from manager.containers.container_records import deletion
from manager.containers.container_volumes import deletion_with_volumes
from manager.controllers.changed_containers import follow_containers
from manager.store.changes import Change
from manager.store.record_store import RecordStore
from manager.store.tables import View
from shoal.api.v1.node_pb2 import Node
from shoal.api.v1.service_pb2 import ServiceStatus
from shoal.api.v1.standalone_pb2 import Container
from shoal.api.v1.task_pb2 import Task, TaskStatus
from shoal.errors import Conflict, Exhausted, InvalidInput, Timeout, Unavailable
from shoal.fault_points.injection import fault
from shoal.task_states import is_live

_log = logging.getLogger(__name__)


class ContainerCollector:
    """Examines the containers that changed, in the leader's term only."""

    def __init__(self, *, store: RecordStore) -> None:
        self._store = store

    async def run(self, fence: int) -> None:
        """Until cancelled.

        Raises:
            LeadershipLost: the term is over.
        """
        await follow_containers(self._store, affected, partial(self._collect, fence=fence))

    async def _collect(self, containers: Iterable[str], fence: int) -> list[str]:
        """Delete what can be deleted; ids of the containers for which that failed."""
        failed = []
        for identifier in dict.fromkeys(containers):
            container = self._store.tables.containers.get(identifier)
            if container is None or not collectable(self._store.tables, container):
                continue
            try:
                await self._delete(container, fence)
            except (Conflict, Unavailable, Timeout) as error:
                _log.info("the deletion of container %s is postponed: %s", container.name, error)
                failed.append(identifier)
            except (Exhausted, InvalidInput) as error:  # more than etcd accepts: it says what to do
                _log.error("cannot delete container %s: %s", container.name, error)
        return failed

    async def _delete(self, container: Container, fence: int) -> None:
        with_volumes = container.remove_volumes or container.definition.auto_remove
        group = deletion_with_volumes(self._store, container) if with_volumes else deletion(container)
        await self._store.commit(group.writes, expects=group.expects, fence=fence)
        fault("manager.collect.container-deleted")


def collectable(view: View, container: Container) -> bool:
    """Whether it is to be deleted, and nothing of it runs any more, as far as its nodes have confirmed."""
    status = view.service_status.get(container.meta.id)
    has_run = bool(container.run) and status is not None and status.finished_run == container.run
    if not container.removing and not (container.definition.auto_remove and has_run):
        return False
    return not any(is_live(task, view.task_status.get(task.id)) for task in view.tasks_of(container.meta.id).values())


def affected(view: View, changes: Iterable[Change]) -> Iterator[str]:
    """Ids of the owners that the changes are about."""
    for change in changes:
        record = change.new if change.new is not None else change.old
        match record:
            case Container() | ServiceStatus():
                yield change.identifier
            case Task():
                yield record.service_id
            case TaskStatus():
                if (task := view.tasks.get(change.identifier)) is not None:
                    yield task.service_id
            case Node():
                if change.new is None:
                    yield from [*view.containers]
