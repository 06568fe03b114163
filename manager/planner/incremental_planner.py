"""Incremental planning: follows changes of the store and plans only the services that they can affect.

It keeps no decision: losing its state costs a full pass and nothing else.
"""

import logging
from collections.abc import Iterable, Iterator

from manager.planner.index.network_sharing import NetworkSharingIndex
from manager.planner.index.resource_index import ResourceIndex
from manager.planner.index.slot_index import SlotIndex
from manager.planner.plan import PassResult, PlanScope, plan_scope, services_of, stale_statuses
from manager.planner.spec.service_modes import is_global
from manager.store.changes import Change
from manager.store.tables import View
from shoal.api.v1.network_pb2 import Network, NetworkAllocation
from shoal.api.v1.node_pb2 import Node, NodeStatus
from shoal.api.v1.service_pb2 import AutoscaleStatus, Service, ServiceRevision, ServiceStatus
from shoal.api.v1.standalone_pb2 import Container
from shoal.api.v1.task_pb2 import Task, TaskStatus
from shoal.api.v1.volume_pb2 import Volume, VolumeStatus
from shoal.ids import NewId

_log = logging.getLogger(__name__)


class IncrementalPlanner:
    """Dirty services, timers and the indexes of the view; plans what is due."""

    def __init__(self, view: View) -> None:
        self._view = view
        self.resources = ResourceIndex.of(view)
        self.slot_index = SlotIndex.of(view, view.services_with_tasks())
        self._network_sharing = NetworkSharingIndex(view)
        self._global_services = {identifier for identifier, service in view.services.items() if is_global(service.spec)}
        self._dirty: set[str] = set()
        self._stale_statuses: set[str] = set()
        self._blocked: set[str] = set()
        self._timers: dict[str, int] = {}
        self._differences: set[str] = set()
        self._statuses_seen = 0
        self._quarantined: set[str] = set()
        self._is_full = True

    def observe(self, changes: Iterable[Change]) -> None:
        """Follow changes that the view has applied."""
        tasks: dict[str, None] = {}
        nodes: dict[str, None] = {}
        for change in changes:
            record = change.new if change.new is not None else change.old
            match record:
                case Task():
                    self._observe_task(change)
                    tasks[change.identifier] = None
                    self._dirty.add(record.service_id)
                case TaskStatus():
                    self._mark_dirty(change.identifier)
                    tasks[change.identifier] = None
                case Node() | NodeStatus():
                    nodes[change.identifier] = None
                case Service():
                    self._observe_service(change.identifier, record)
                case Container():
                    self._dirty.add(change.identifier)
                    self._quarantined.discard(change.identifier)
                case ServiceRevision():
                    self._network_sharing.add(record)
                    self.slot_index.of_service(record.service_id).mark_all_dirty()
                    self._dirty.add(record.service_id)
                case ServiceStatus():
                    self.resources.refresh_service(self._view, change.identifier)
                    # An address or a port that was released may be what another service waits for.
                    self._dirty |= self._blocked
                    self._dirty.add(change.identifier.partition("/")[0])
                case AutoscaleStatus():
                    self.slot_index.of_service(record.service_id).mark_all_dirty()
                    self._dirty.add(record.service_id)
                case Network() | NetworkAllocation() | VolumeStatus():
                    self._dirty |= self._blocked
                case Volume():
                    self._dirty |= self._blocked
                    self._observe_volume(change)
        self._observe_tasks(tasks)
        self._observe_nodes(nodes)

    def next_due_ms(self) -> int | None:
        """When something is due though nothing changes, milliseconds since the Unix epoch."""
        return min(self._timers.values(), default=None)

    def audit(self) -> Iterator[None]:
        """Compare the indexes of tasks with the view, with pauses in which the view may change.

        What differs is reloaded by `repair`.
        """
        self._differences.clear()
        self._statuses_seen = 0
        for batch in self.slot_index.audit(self._view):
            self._differences.update(batch.differences)
            self._statuses_seen += batch.status_count
            yield

    def repair(self) -> None:
        """Reload what the audit found to differ and what still does; all changes must have been observed.

        The next pass plans all services, and deletes statuses without tasks if there are any.
        """
        if self._statuses_seen != len(self._view.task_status):
            self._stale_statuses.update(stale_statuses(self._view))
        self._dirty |= services_of(self._view)
        if number := self.slot_index.repair(self._view, sorted(self._differences)):
            _log.warning("%d cached tasks differed from the store and were reloaded", number)
            self.resources.refresh_all_tasks(self._view)
        self._observe_nodes(self.resources.stale_nodes(self._view))
        self._differences.clear()

    def request_full_pass(self) -> None:
        """Make the next pass a full one."""
        self._is_full = True

    def plan(self, *, now_ms: int, new_id: NewId) -> PassResult:
        """Plan what is due. Before the next call observe the plan's writes, or call `request_full_pass`."""
        scope = self._scope(now_ms)
        result = plan_scope(self._view, self.resources, self.slot_index, scope, now_ms=now_ms, new_id=new_id)
        for service_id in scope.services:
            self._timers.pop(service_id, None)
        self._timers.update(result.timers)
        self._blocked.difference_update(scope.services)
        self._blocked |= result.blocked
        self._quarantined.difference_update(scope.services)
        self._quarantined |= result.quarantined.keys()
        self._dirty.clear()
        self._stale_statuses.clear()
        self._is_full = False
        return result

    def _scope(self, now_ms: int) -> PlanScope:
        if self._is_full:
            self._sharing_services(self._view.services)
            return PlanScope.full(self._view)
        due = {service_id for service_id, at_ms in self._timers.items() if at_ms <= now_ms}
        services = (self._dirty - self._quarantined) | due
        services |= self._sharing_services(services | self._blocked) - self._quarantined if services else set()
        # What others get in this very pass may change why a task waits.
        return PlanScope(frozenset(services | self._blocked if services else services), frozenset(self._stale_statuses))

    def _sharing_services(self, services: Iterable[str]) -> set[str]:
        """The services whose tasks share these services' networks; all of their slots are dirty in this pass."""
        if not self._network_sharing:
            return set()
        found = {sharing for service_id in services for sharing in self._network_sharing.services_sharing(service_id)}
        for sharing in found:
            self.slot_index.of_service(sharing).mark_all_dirty()
        return found

    def _observe_service(self, identifier: str, service: Service) -> None:
        self._dirty.add(identifier)
        self._quarantined.discard(identifier)
        self.slot_index.of_service(identifier).mark_all_dirty()
        if is_global(service.spec) and identifier in self._view.services:
            self._global_services.add(identifier)
        else:
            self._global_services.discard(identifier)

    def _observe_volume(self, change: Change) -> None:
        """A move of data concerns all services that mount the volume; other changes concern none."""
        old, new = change.old, change.new
        if not isinstance(old, Volume) or not isinstance(new, Volume):
            return
        if old.moves == new.moves and old.homes == new.homes:
            return
        for service_id, service in self._view.services.items():
            if any(mount.source == change.identifier for mount in service.spec.task.container.mounts):
                self._dirty.add(service_id)
                self.slot_index.of_service(service_id).mark_all_dirty()

    def _observe_task(self, change: Change) -> None:
        old, new = change.old, change.new
        assert old is None or isinstance(old, Task)
        assert new is None or isinstance(new, Task)
        self.slot_index.update(change.identifier, old, new)

    def _mark_dirty(self, task_id: str) -> None:
        task = self._view.tasks.get(task_id)
        if task is not None:
            self.slot_index.mark_dirty(task)

    def _observe_tasks(self, identifiers: Iterable[str]) -> None:
        for identifier in identifiers:
            task = self._view.tasks.get(identifier)
            if task is not None:
                self._dirty.add(task.service_id)
            elif identifier in self._view.task_status:
                self._stale_statuses.add(identifier)
        # Also when something was claimed: the reason of a pending task may change.
        if self.resources.refresh_tasks(self._view, identifiers):
            self._dirty |= self._blocked

    def _observe_nodes(self, identifiers: Iterable[str]) -> None:
        for identifier in identifiers:
            self.resources.refresh_node(self._view, identifier)
            for task in self._view.tasks_on(identifier).values():
                self._dirty.add(task.service_id)
                self.slot_index.mark_dirty(task)
            self._dirty |= self._global_services | self._blocked
