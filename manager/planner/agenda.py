"""What has to be planned next: follows changes, so that a pass looks only at services for which something may follow.

It remembers no decision. Forgetting all of it costs a full pass and nothing else.
"""

import logging
from collections.abc import Iterable, Iterator

from manager.planner.followers import Followers
from manager.planner.ledger import Ledger
from manager.planner.modes import is_on_each_node
from manager.planner.plan import Outcome, Scope, plan_scope, services_of, strays
from manager.planner.rolls import Rolls
from manager.store.changes import Change
from manager.store.tables import View
from shoal.api.v1.network_pb2 import Network, NetworkAllocation
from shoal.api.v1.node_pb2 import Node, NodeStatus
from shoal.api.v1.service_pb2 import AutoscaleStatus, Service, ServiceRevision, ServiceStatus
from shoal.api.v1.task_pb2 import Task, TaskStatus
from shoal.api.v1.volume_pb2 import Volume, VolumeStatus
from shoal.ids import NewId

_log = logging.getLogger(__name__)


class Agenda:
    """The services to look at, those that are due at a time, and the ledger of the view."""

    def __init__(self, view: View) -> None:
        self._view = view
        self.ledger = Ledger.of(view)
        self.rolls = Rolls.of(view, view.services_with_tasks())
        self._followers = Followers(view)
        self._global = {identifier for identifier, service in view.services.items() if is_on_each_node(service.spec)}
        self._dirty: set[str] = set()
        self._strays: set[str] = set()
        self._unplaced: set[str] = set()
        self._timers: dict[str, int] = {}
        self._suspects: set[str] = set()
        self._told = 0
        self._aside: set[str] = set()
        self._everything = True

    def note(self, changes: Iterable[Change]) -> None:
        """The view has changed so."""
        tasks: dict[str, None] = {}
        nodes: dict[str, None] = {}
        for change in changes:
            record = change.new if change.new is not None else change.old
            match record:
                case Task():
                    self._note_task(change)
                    tasks[change.identifier] = None
                    self._dirty.add(record.service_id)
                case TaskStatus():
                    self._wake(change.identifier)
                    tasks[change.identifier] = None
                case Node() | NodeStatus():
                    nodes[change.identifier] = None
                case Service():
                    self._note_service(change.identifier, record)
                case ServiceRevision():
                    self._followers.note(record)
                    self.rolls.roll(record.service_id).wake_all()
                    self._dirty.add(record.service_id)
                case ServiceStatus():
                    self.ledger.see_service(self._view, change.identifier)
                    # An address or a port that has come free may be what another service waits for.
                    self._dirty |= self._unplaced
                    self._dirty.add(change.identifier.partition("/")[0])
                case AutoscaleStatus():
                    self.rolls.roll(record.service_id).wake_all()
                    self._dirty.add(record.service_id)
                case Network() | NetworkAllocation() | VolumeStatus():
                    self._dirty |= self._unplaced
                case Volume():
                    self._dirty |= self._unplaced
                    self._note_volume(change)
        self._note_tasks(tasks)
        self._note_nodes(nodes)

    def wake_at_ms(self) -> int | None:
        """When something is due though nothing changes, milliseconds since the Unix epoch."""
        return min(self._timers.values(), default=None)

    def audit(self) -> Iterator[None]:
        """Compare what is remembered of tasks with the view, with pauses in which the view may go on.

        What differs is kept for `correct`.
        """
        self._suspects.clear()
        self._told = 0
        for portion in self.rolls.suspects(self._view):
            self._suspects.update(portion.suspects)
            self._told += portion.told
            yield

    def correct(self) -> None:
        """Take over what the audit found to differ and what still does, all changes having been noted.

        The next pass looks at all services, and at statuses without tasks if there can be any.
        """
        if self._told != len(self._view.task_status):
            self._strays.update(strays(self._view))
        self._dirty |= services_of(self._view)
        if number := self.rolls.correct(self._view, sorted(self._suspects)):
            _log.warning("%d tasks are not as the store's changes told; they are read anew", number)
            self.ledger.settle_all(self._view)
        self._note_nodes(self.ledger.unknown_nodes(self._view))
        self._suspects.clear()

    def plan_everything(self) -> None:
        """Make the next pass a full one."""
        self._everything = True

    def plan(self, *, now_ms: int, new_id: NewId) -> Outcome:
        """Plan what is due. Ask again only after the plan's writes have been noted, or `plan_everything`."""
        scope = self._scope(now_ms)
        outcome = plan_scope(self._view, self.ledger, self.rolls, scope, now_ms=now_ms, new_id=new_id)
        for service_id in scope.services:
            self._timers.pop(service_id, None)
        self._timers.update(outcome.timers)
        self._unplaced.difference_update(scope.services)
        self._unplaced |= outcome.unplaced
        self._aside.difference_update(scope.services)
        self._aside |= outcome.aside.keys()
        self._dirty.clear()
        self._strays.clear()
        self._everything = False
        return outcome

    def _scope(self, now_ms: int) -> Scope:
        if self._everything:
            self._followers_of(self._view.services)
            return Scope.full(self._view)
        due = {service_id for service_id, at_ms in self._timers.items() if at_ms <= now_ms}
        services = (self._dirty - self._aside) | due
        services |= self._followers_of(services | self._unplaced) - self._aside if services else set()
        # What the others are given in this very pass may change why a task waits.
        return Scope(frozenset(services | self._unplaced if services else services), frozenset(self._strays))

    def _followers_of(self, services: Iterable[str]) -> set[str]:
        """Those whose tasks share these services' networks. Whatever this pass decides about the latter, it decides
        about all tasks of the former too."""
        if not self._followers:
            return set()
        found = {follower for service_id in services for follower in self._followers.of(service_id)}
        for follower in found:
            self.rolls.roll(follower).wake_all()
        return found

    def _note_service(self, identifier: str, service: Service) -> None:
        self._dirty.add(identifier)
        self._aside.discard(identifier)
        self.rolls.roll(identifier).wake_all()
        if is_on_each_node(service.spec) and identifier in self._view.services:
            self._global.add(identifier)
        else:
            self._global.discard(identifier)

    def _note_volume(self, change: Change) -> None:
        """Data that is moved, or was, is a matter of all that mount it; labels are nobody's."""
        old, new = change.old, change.new
        if not isinstance(old, Volume) or not isinstance(new, Volume):
            return
        if old.moves == new.moves and old.homes == new.homes:
            return
        for service_id, service in self._view.services.items():
            if any(mount.source == change.identifier for mount in service.spec.task.container.mounts):
                self._dirty.add(service_id)
                self.rolls.roll(service_id).wake_all()

    def _note_task(self, change: Change) -> None:
        old, new = change.old, change.new
        assert old is None or isinstance(old, Task)
        assert new is None or isinstance(new, Task)
        self.rolls.put(change.identifier, old, new)

    def _wake(self, task_id: str) -> None:
        task = self._view.tasks.get(task_id)
        if task is not None:
            self.rolls.wake(task)

    def _note_tasks(self, identifiers: Iterable[str]) -> None:
        for identifier in identifiers:
            task = self._view.tasks.get(identifier)
            if task is not None:
                self._dirty.add(task.service_id)
            elif identifier in self._view.task_status:
                self._strays.add(identifier)
        # Also when something was taken: the reason that a waiting task tells may be another one then.
        if self.ledger.settle(self._view, identifiers):
            self._dirty |= self._unplaced

    def _note_nodes(self, identifiers: Iterable[str]) -> None:
        for identifier in identifiers:
            self.ledger.see_node(self._view, identifier)
            for task in self._view.tasks_on(identifier).values():
                self._dirty.add(task.service_id)
                self.rolls.wake(task)
            self._dirty |= self._global | self._unplaced
