"""Invariant 3: what no moment may have twice, in the records. Pure."""

from collections import defaultdict
from collections.abc import Hashable, Iterable, Iterator, Sequence
from itertools import groupby

from shoal.api.v1.container_pb2 import Mount
from shoal.api.v1.network_pb2 import Network
from shoal.api.v1.service_pb2 import Service, ServiceRevision, UpdateConfig
from shoal.api.v1.task_pb2 import Task, TaskState, TaskStatus
from tests.chaos.checks.key_history import ROOT, STATUSES, TASKS, KeyEvent
from tests.chaos.violation import Violation

_REVISIONS = f"{ROOT}revisions/"
_ENDED = frozenset(
    {TaskState.COMPLETE, TaskState.SHUTDOWN, TaskState.FAILED, TaskState.REJECTED, TaskState.REMOVE, TaskState.ORPHANED}
)


class RecordsAtAnInstant:
    """The records as events have left them, and who holds what: addresses, ports, volumes, slots."""

    def __init__(self) -> None:
        self._tasks: dict[str, Task] = {}
        self._states: dict[str, int] = {}
        self._revisions: dict[tuple[str, int], ServiceRevision] = {}
        self._services: dict[str, Service] = {}
        self._bridges: set[str] = set()
        self._holders: dict[Hashable, set[str]] = defaultdict(set)
        self._held: dict[str, tuple[Hashable, ...]] = {}

    def apply(self, event: KeyEvent) -> set[str]:
        """Take an event in; ids of tasks of which something changed."""
        key, value = event.key, event.value
        if key.startswith(TASKS):
            task_id = key.removeprefix(TASKS)
            if value is None:
                self._tasks.pop(task_id, None)
            else:
                self._tasks[task_id] = Task.FromString(value)
            return {task_id}
        if key.startswith(STATUSES):
            task_id = key.removeprefix(STATUSES)
            if value is None:
                self._states.pop(task_id, None)
            else:
                self._states[task_id] = TaskStatus.FromString(value).state
            return {task_id}
        if value is not None:
            self._take_other(key, value)
        return set()

    def _take_other(self, key: str, value: bytes) -> None:
        if key.startswith(_REVISIONS):
            revision = ServiceRevision.FromString(value)
            self._revisions[revision.service_id, revision.number] = revision
        elif key.startswith(f"{ROOT}services/") and key.endswith("/spec"):
            service = Service.FromString(value)
            self._services[service.meta.id] = service
        elif key.startswith(f"{ROOT}networks/") and key.endswith("/spec"):
            network = Network.FromString(value)
            if network.spec.driver == "bridge":
                self._bridges.add(network.meta.id)

    def conflicts(self, changed: Iterable[str]) -> Iterator[str]:
        """What is held twice after these tasks have changed."""
        touched: dict[Hashable, None] = {}
        for task_id in changed:
            for what in self._held.pop(task_id, ()):
                self._holders[what].discard(task_id)
            task = self._tasks.get(task_id)
            held = tuple(self._holdings(task)) if task is not None and self._is_live(task) else ()
            self._held[task_id] = held
            for what in held:
                self._holders[what].add(task_id)
                touched[what] = None
        for what in touched:
            if len(self._holders[what]) > self._allowed(what):
                yield f"{_text(what)}: tasks {', '.join(sorted(self._holders[what]))}"

    def _is_live(self, task: Task) -> bool:
        return max(task.state, self._states.get(task.id, 0)) not in _ENDED

    def _holdings(self, task: Task) -> Iterator[tuple[str, ...]]:
        desired = task.desired_state <= TaskState.RUNNING
        if desired and task.service_id in self._services and not task.job_run:
            yield ("slot", task.service_id, str(task.slot or task.node_id))
        if not task.node_id:
            return
        for each in task.addresses:
            where = task.node_id if each.network_id in self._bridges else ""
            for address in (each.address, each.address6):
                if address:
                    yield ("address", each.network_id, where, address)
        for port in task.ports:
            yield ("port", task.node_id, f"{port.host_address}:{port.published}/{port.protocol}")
        yield from self._volumes(task)

    def _volumes(self, task: Task) -> Iterator[tuple[str, ...]]:
        revision = self._revisions.get((task.service_id, task.revision))
        if revision is None:
            return
        for mount in revision.spec.task.container.mounts:
            if mount.type == Mount.VOLUME and not mount.read_only and not mount.shared:
                yield ("volume", mount.source, task.service_id, str(task.slot))

    def _allowed(self, what: Hashable) -> int:
        if isinstance(what, tuple) and what[0] == "slot":
            service = self._services.get(what[1])
            first = service is not None and service.spec.update.order == UpdateConfig.START_FIRST
            return 2 if first else 1
        return 1


def check_instants(events: Sequence[KeyEvent]) -> Iterator[Violation]:
    """What was held twice at some revision; each pair of holders once.

    Args:
        events: since the cluster's beginning, by revision.
    """
    records, found = RecordsAtAnInstant(), set()
    for revision, together in groupby(events, key=lambda event: event.revision):
        changed: set[str] = set()
        at = 0.0
        for event in together:
            changed |= records.apply(event)
            at = event.at
        for text in records.conflicts(changed):
            if text not in found:
                found.add(text)
                yield Violation(3, f"twice at revision {revision}: {text}", at)


def _text(what: Hashable) -> str:
    return " ".join(filter(None, what)) if isinstance(what, tuple) else str(what)
