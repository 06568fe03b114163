"""What ran before an update's canaries, while the update waits for its promotion: it is filled and moved as itself.

A slot that is no canary keeps the template from before the update, whatever happens to it: its task ends, its node is
drained or no longer admitted, the service is scaled or evened out.
"""

from functools import cached_property

from manager.planner import restart
from manager.planner.demand import demand_of
from manager.planner.draft import Draft
from manager.planner.misplaced import Misplaced
from manager.planner.need import Need, in_order
from manager.planner.place import Placing
from manager.planner.predecessors import held_back
from manager.planner.rolls import Key, Roll
from manager.planner.slots import Slot
from manager.planner.update import Unsettled
from shoal.api.v1.service_pb2 import Service, ServiceSpec, UpdateStatus
from shoal.api.v1.task_pb2 import Task, TaskState


class StableTasks:
    """Those of one service in one pass: what they need is gathered, and placed by `place`.

    Attributes:
        demand: what each of them asks of a node.
        misplaced: tells which of them are to leave their nodes.
        moving: slots that have no task that serves, for the pace of further moves.
    """

    def __init__(self, draft: Draft, service_id: str, spec: ServiceSpec, revision: int, roll: Roll) -> None:
        self._draft = draft
        self._service_id, self._spec, self._revision = service_id, spec, revision
        self._is_global = spec.HasField("global")
        self._needs: list[tuple[Key, Need]] = []
        self.demand = demand_of(spec, draft.view.networks)
        self.misplaced = Misplaced(draft, self.demand, roll, is_global=self._is_global)
        self.moving: list[Unsettled] = []

    @cached_property
    def placing(self) -> Placing:
        """Where they can go."""
        return Placing(
            self._draft, service_id=self._service_id, spec=self._spec, revision=self._revision, demand=self.demand
        )

    def fill(self, slot: Slot) -> None:
        """Give the slot, which has no task on a node, its next one, once that is due and the one before has ended."""
        pending = slot.wanted[-1] if slot.wanted else None
        attempt = pending.attempt if pending is not None else 0
        if pending is None:
            if slot.stopping:
                self.moving.append(Unsettled())
                return
            ended = slot.last_end()
            due = self._attempt(slot, ended) if ended is not None else 0
            if due is None:
                return
            attempt = due
        self._close(slot)
        self.moving.append(Unsettled(pending=pending is not None, crashing=attempt > 0))
        self._needs.append((slot.key, Need(_number(slot), attempt, pending)))

    def wait(self, task: Task) -> None:
        """It is on its way: no other one moves before it serves."""
        self.moving.append(Unsettled(task.created_at_ms, crashing=task.attempt > 0))

    def may_start_beside(self, slot: Slot) -> bool:
        """Whether a successor may be started beside the slot's task: not soon after one has failed there."""
        ended = slot.last_end()
        return ended is None or ended.revision != self._revision or self._attempt(slot, ended) is not None

    def start_beside(self, slot: Slot, home: str) -> None:
        """Start a successor beside the slot's task.

        Args:
            home: the node that it goes to when it fits there; empty: any.
        """
        self._close(slot)
        self._needs.append((slot.key, Need(_number(slot), beside=True, home=home)))

    def place(self, slots: dict[Key, Slot], counts: dict[str, int]) -> list[str]:
        """Write the tasks; why some are not placed.

        Args:
            slots: the service's, as they were when the pass began.
            counts: the service's wanted tasks by node; kept up.
        """
        if not self._needs:
            return []
        if self._is_global:
            return [self.placing.on(self._draft.ledger.hosts[str(key)], need, 0) for key, need in self._needs]
        needs = held_back(self._draft, self._spec, self.demand, self._needs, slots)
        return self.placing.spread(in_order(need for _, need in needs), counts, ())

    def _attempt(self, slot: Slot, ended: Task) -> int | None:
        """Which attempt the successor of the ended task is; None while, or because, there is to be none."""
        statuses = self._draft.view.task_status
        ends = [(task, statuses.get(task.id)) for task in slot.ended if task.revision == ended.revision]
        verdict = restart.answer(self._spec.task.restart, ends, now_ms=self._draft.now_ms)
        if verdict.due_ms is None:
            return None
        if verdict.due_ms > self._draft.now_ms:
            self._draft.wake(self._service_id, verdict.due_ms)
            self.moving.append(Unsettled(crashing=True))
            return None
        return verdict.attempt

    def _close(self, slot: Slot) -> None:
        """The ends in the slot have been answered."""
        for task in slot.ended:
            self._draft.stop(task, TaskState.SHUTDOWN, "replaced by its successor")


def stable_spec(draft: Draft, service: Service, update: UpdateStatus) -> ServiceSpec | None:
    """The service's spec with the template from before the update; None when that is not known any more.

    The placement is the newest, since it counts for every task, but for the platforms, which are the image's.
    """
    earlier = draft.view.revision_of(service.meta.id, update.previous_revision)
    if earlier is None:
        return None
    made = ServiceSpec()
    made.CopyFrom(service.spec)
    made.task.CopyFrom(earlier.spec.task)
    made.task.placement.CopyFrom(service.spec.task.placement)
    del made.task.placement.platforms[:]
    made.task.placement.platforms.extend(earlier.spec.task.placement.platforms)
    made.endpoint.CopyFrom(earlier.spec.endpoint)
    return made


def _number(slot: Slot) -> int:
    return slot.key if isinstance(slot.key, int) else 0
