"""Tasks that share the network namespace of another service's tasks (`--network service:db`), slot by slot.

Such a task is bound to one task of the other service, the provider, for good (`Task.network_task_id`), and is on its
node. Once that task is to stop or has ended this one is stopped too, and its successor waits for the next task that
runs in the provider's slot.
"""

from collections.abc import Collection, Iterable
from itertools import chain, count
from typing import NamedTuple

from manager.planner.draft import Draft
from manager.planner.index.resource_index import NodeUsage
from manager.planner.index.slot_index import SlotKey, age
from manager.planner.scheduler.home_nodes import HomeNodes
from manager.planner.scheduler.node_filters import DOWN, DRAINED, NOT_CONNECTED, PAUSED, REMOVED, unmet_constraint
from manager.planner.spec.effective_spec import effective
from manager.planner.spec.problem_texts import WAITING_FOR
from manager.planner.spec.requirements import Requirements, requirements_of
from shoal.api.v1.service_pb2 import Service, ServiceSpec
from shoal.api.v1.task_pb2 import Task, TaskState
from shoal.networks.network_modes import network_provider
from shoal.task_states import is_terminal, should_run

_STATES = frozenset(reason.one for reason in (NOT_CONNECTED, DOWN, DRAINED, PAUSED, REMOVED))
_RUNNING, _REMOVE = TaskState.RUNNING, TaskState.REMOVE


class SharedPlacement(NamedTuple):
    """The node for a task, and the id of the task whose network it shares there."""

    host: NodeUsage
    task_id: str


class SharedNetwork:
    """The provider of one service's networks. False where its tasks have networks of their own."""

    def __init__(self, draft: Draft, spec: ServiceSpec) -> None:
        self._draft = draft
        self.provider = network_provider(spec.task)
        found = draft.view.service_named(self.provider) if self.provider else None
        self._service: Service | None = effective(draft.view, found) if found is not None else None

    def __bool__(self) -> bool:
        return bool(self.provider)

    def find(self, key: SlotKey) -> SharedPlacement | str:
        """The task whose network a new task of the slot shares; else why it waits, one line for the user."""
        if self._service is None:
            return f"{WAITING_FOR}service {self.provider}, whose network it shares; the service does not exist"
        tasks = self._draft.slot_index.of_service(self._service.meta.id).tasks.get(key, ())
        running = [task for task in tasks if is_staying(self._draft, task) and self._draft.state(task) == _RUNNING]
        newest = max(running, key=age, default=None)
        host = self._draft.resources.hosts.get(newest.node_id) if newest is not None else None
        if newest is not None and host is not None:
            return SharedPlacement(host, newest.id)
        return f"{WAITING_FOR}{self.describe(key)} of service {self.provider}, which {self._state(tasks)}"

    def describe(self, key: SlotKey) -> str:
        """The provider's task of a slot, for texts: "task db.1"."""
        return (
            f"task {self.provider}.{key}" if isinstance(key, int) else f"the task on node {self._draft.hostname(key)}"
        )

    def unfit_reason(self, slot: int, host: NodeUsage, why: str) -> str:
        """`waiting: task db.1, whose network it shares, is on node h1, which is drained`, one line for the user.

        Args:
            why: what the node is or lacks: "drained", "lacks 512 MiB of memory".
        """
        state = f"is {why}" if why in _STATES else why
        node = self._draft.hostname(host.id)
        return f"waiting: {self.describe(slot)}, whose network it shares, is on node {node}, which {state}"

    def volume_conflict(self, homes: HomeNodes, slot: int, host: NodeUsage) -> str:
        """Why a task cannot have its volumes on the node where the network is; empty when it can."""
        home = homes.home(slot) if homes else None
        if home is not None and home.node_id != host.id:
            there, here = self._draft.hostname(home.node_id), self._draft.hostname(host.id)
            return (
                f"waiting: volume {home.volume} is on node {there}, but "
                f"{self.describe(slot)}, whose network it shares, is "
                f"on node {here}; move the volume with `shoal volume move {home.volume} --to {here}`"
            )
        moving = homes.move_reason(slot) if homes else ""
        return f"waiting: {moving}" if moving else homes.occupied_reason(slot, host.id) if homes else ""

    def choose_slots(self, replicas: int, held: Collection[int]) -> set[int]:
        """Numbers of the slots that a service with so many replicas has. `held` are those that it has now."""
        tasks = self._draft.slot_index.of_service(self._service.meta.id).tasks if self._service is not None else {}
        provided = [
            key
            for key, those in tasks.items()
            if isinstance(key, int) and any(self._draft.desired(task) < _REMOVE for task in those)
        ]
        return choose_slot_numbers(replicas, held=held, provided=provided)

    def admits(self, host: NodeUsage) -> bool:
        """Whether a global provider may have a task on the node."""
        return self._service is None or unmet_constraint(host, self._demand) is None

    @property
    def _demand(self) -> Requirements:
        assert self._service is not None
        networks, spec = self._draft.view.networks, self._service.spec
        found: Requirements = self._draft.cached(f"demand of {self.provider}", lambda: requirements_of(spec, networks))
        return found

    def _state(self, tasks: Iterable[Task]) -> str:
        newest = max(tasks, key=lambda task: (is_staying(self._draft, task), age(task)), default=None)
        if newest is None:
            spec = self._service.spec if self._service is not None else ServiceSpec()
            number = spec.replicated.replicas
            replicas = f": the service has {number} replica{'' if number == 1 else 's'}"
            return f"does not exist{replicas if spec.HasField('replicated') else ''}"
        if is_terminal(self._draft.state(newest)):
            return "has ended"
        if not is_staying(self._draft, newest):
            return "is being stopped"
        return "is not running yet" if newest.node_id else "has no node"


def choose_slot_numbers(replicas: int, *, held: Collection[int], provided: Collection[int]) -> set[int]:
    """Slots of the provider come first, of those the ones that are held; surplus ones wait for the provider's."""
    chosen = set(sorted(provided, key=lambda number: (number not in held, number))[:replicas])
    for number in chain(sorted(set(held) - chosen), count(1)):
        if len(chosen) >= replicas:
            return chosen
        chosen.add(number)
    raise AssertionError("numbers have no end")


def is_staying(draft: Draft, task: Task) -> bool:
    """It is to run, and has not ended."""
    return should_run(task) and not draft.is_stopping(task) and not is_terminal(draft.state(task))
