"""Tasks that share the network namespace of another service's tasks (`--network service:db`), slot by slot.

Such a task is bound to one task for good (`Task.network_of`) and is on its node. Once that task is to stop or has ended
this one is stopped too, and its successor waits for the next task that runs in the other service's slot. That other
service is called the provider here.
"""

from collections.abc import Collection, Iterable
from itertools import chain, count
from typing import NamedTuple

from manager.planner.demand import Demand, demand_of
from manager.planner.draft import Draft
from manager.planner.effective import effective
from manager.planner.filters import DOWN, DRAINED, NEVER_HEARD, PAUSED, REMOVED, unmet
from manager.planner.homes import Homes
from manager.planner.ledger import Host
from manager.planner.rolls import Key
from manager.planner.slots import Slot, age
from shoal.api.v1.service_pb2 import Service, ServiceSpec
from shoal.api.v1.task_pb2 import Task, TaskState
from shoal.network_modes import provider_of
from shoal.task_states import is_live, is_terminal, is_wanted

_STATES = frozenset(reason.one for reason in (NEVER_HEARD, DOWN, DRAINED, PAUSED, REMOVED))
_RUNNING, _REMOVE = TaskState.RUNNING, TaskState.REMOVE


class Place(NamedTuple):
    """The node for a task, and the id of the task whose network it shares there."""

    host: Host
    task_id: str


class SharedNetwork:
    """Whose networks the tasks of one service share. False where they have networks of their own."""

    def __init__(self, draft: Draft, spec: ServiceSpec) -> None:
        self._draft = draft
        self.provider = provider_of(spec.task)
        found = draft.view.service_named(self.provider) if self.provider else None
        self._service: Service | None = effective(draft.view, found) if found is not None else None

    def __bool__(self) -> bool:
        return bool(self.provider)

    def find(self, key: Key) -> Place | str:
        """Whose network a new task of the slot shares; else why it waits, one line for the user."""
        if self._service is None:
            return f"waits for service {self.provider}, whose network it shares: there is no such service"
        tasks = self._draft.rolls.roll(self._service.meta.id).tasks.get(key, ())
        running = [task for task in tasks if is_kept(self._draft, task) and self._draft.state(task) == _RUNNING]
        newest = max(running, key=age, default=None)
        host = self._draft.ledger.hosts.get(newest.node_id) if newest is not None else None
        if newest is not None and host is not None:
            return Place(host, newest.id)
        return f"waits for {self.label(key)} of service {self.provider}, which {self._state(tasks)}"

    def label(self, key: Key) -> str:
        """The provider's task of a slot, to be told to users: "task db.1"."""
        return (
            f"task {self.provider}.{key}" if isinstance(key, int) else f"the task on node {self._draft.hostname(key)}"
        )

    def there(self, slot: int, host: Host, why: str) -> str:
        """`waits: task db.1, whose network it shares, is on node h1, which is drained`, one line for the user.

        Args:
            why: what the node is or lacks: "drained", "lacks 512 MiB of memory".
        """
        state = f"is {why}" if why in _STATES else why
        node = self._draft.hostname(host.id)
        return f"waits: {self.label(slot)}, whose network it shares, is on node {node}, which {state}"

    def elsewhere(self, homes: Homes, slot: int, host: Host) -> str:
        """Why a task cannot have its volumes on the node where the network is; empty when it can."""
        home = homes.home(slot) if homes else None
        if home is not None and home.node_id != host.id:
            there, here = self._draft.hostname(home.node_id), self._draft.hostname(host.id)
            return (
                f"waits: its volume {home.volume} is on node {there}, and {self.label(slot)}, whose network it shares, "
                f"on node {here}; `shoal volume move {home.volume} --to {here}` brings them together"
            )
        moving = homes.moving(slot) if homes else ""
        return f"waits: {moving}" if moving else homes.occupied(slot, host.id) if homes else ""

    def numbers(self, replicas: int, held: Collection[int]) -> set[int]:
        """Which slots a service with so many replicas has. `held` are those that it has now."""
        tasks = self._draft.rolls.roll(self._service.meta.id).tasks if self._service is not None else {}
        provided = [
            key
            for key, those in tasks.items()
            if isinstance(key, int) and any(self._draft.desired(task) < _REMOVE for task in those)
        ]
        return choose_numbers(replicas, held=held, provided=provided)

    def admits(self, host: Host) -> bool:
        """Whether the provider, where it is global, may have a task on the node."""
        return self._service is None or unmet(host, self._demand) is None

    @property
    def _demand(self) -> Demand:
        assert self._service is not None
        networks, spec = self._draft.view.networks, self._service.spec
        found: Demand = self._draft.once(f"demand of {self.provider}", lambda: demand_of(spec, networks))
        return found

    def _state(self, tasks: Iterable[Task]) -> str:
        newest = max(tasks, key=lambda task: (is_kept(self._draft, task), age(task)), default=None)
        if newest is None:
            spec = self._service.spec if self._service is not None else ServiceSpec()
            number = spec.replicated.replicas
            told = f": the service has {number} replica{'' if number == 1 else 's'}"
            return f"is not there{told if spec.HasField('replicated') else ''}"
        if is_terminal(self._draft.state(newest)):
            return "has ended"
        if not is_kept(self._draft, newest):
            return "is being stopped"
        return "does not run yet" if newest.node_id else "has found no node"


def choose_numbers(replicas: int, *, held: Collection[int], provided: Collection[int]) -> set[int]:
    """Slots that the provider has come first, and of those the ones that are held; what is left over waits."""
    chosen = set(sorted(provided, key=lambda number: (number not in held, number))[:replicas])
    for number in chain(sorted(set(held) - chosen), count(1)):
        if len(chosen) >= replicas:
            return chosen
        chosen.add(number)
    raise AssertionError("numbers have no end")


def is_kept(draft: Draft, task: Task) -> bool:
    """It is to run, and has not ended."""
    return is_wanted(task) and not draft.is_stopping(task) and not is_terminal(draft.state(task))


def sever(draft: Draft, slot: Slot) -> None:
    """Stop what shares the network of a task that is to stop or has ended: its successor shares the next one's.

    What this very plan stops is answered by the next one: it may be another service that displaces the provider's task,
    while a pass looks at neither of the two.
    """
    view = draft.view
    for task in [task for task in slot.wanted if task.network_of]:
        provider = view.tasks.get(task.network_of)
        is_there = provider is not None and provider.service_id in view.services
        if provider is None or not (
            is_there and is_wanted(provider) and is_live(provider, view.task_status.get(provider.id))
        ):
            draft.stop(
                task, TaskState.SHUTDOWN, f"task {task.network_of}, whose network it shares, is stopped or ended"
            )
            slot.wanted.remove(task)
            slot.stopping.append(task)
