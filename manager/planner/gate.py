"""The canaries' gate: until an update is promoted, only so many slots run its template, whatever becomes of the others.

Slots that are new (the service was scaled, even from 0) or whose tasks have ended get what ran before, unless there are
fewer canaries than asked for. So nothing but the promotion promotes.
"""

from collections.abc import Mapping

from manager.planner import restart, rollout
from manager.planner.demand import demand_of
from manager.planner.draft import Draft
from manager.planner.need import Need, in_order
from manager.planner.place import Placing
from manager.planner.predecessors import held_back
from manager.planner.rolls import Key, Roll
from manager.planner.slots import Slot
from manager.planner.template import Wanted
from shoal.api.v1.service_pb2 import Service, ServiceSpec, UpdateStatus
from shoal.api.v1.task_pb2 import Task, TaskState, TaskStatus


class Gate:
    """That of one service in one pass; open when nothing waits for a promotion.

    Attributes:
        held: slots that get, or wait for, a task of what ran before.
    """

    def __init__(
        self, draft: Draft, service: Service, update: UpdateStatus | None, wanted: Wanted, slots: Mapping[Key, Slot]
    ) -> None:
        self._draft = draft
        self._slots = slots
        self._wanted = wanted
        self._spec = _before(draft, service, update)
        self._revision = update.previous_revision if update is not None else 0
        self._canary = service.spec.update.canary
        self._left: int | None = None
        self._needs: list[tuple[Key, Need]] = []
        self.held = 0

    def begin(self, roll: Roll) -> None:
        """Count the canaries that there are, once it is settled which slots are loud."""
        if self._spec is None:
            return
        loud = (slot for slot in self._slots.values() if slot.key not in roll.quiet)
        fresh = sum(any(not self._wanted.differs(task) for task in slot.wanted) for slot in loud)
        quiet = sum(roll.homes.values()) - len(roll.outdated)
        self._left = max(0, self._canary - fresh - quiet)

    def holds(self, slot: Slot) -> bool:
        """Whether the slot, which has no task on a node, is filled by this gate and not by the update."""
        if self._spec is None or self._left is None:
            return False
        if slot.stopping or any(task.node_id or not self._wanted.differs(task) for task in slot.wanted):
            return False
        ended = slot.last_end()
        if not slot.wanted and ended is not None and not self._wanted.differs(ended):
            return False
        if self._left:
            self._left -= 1
            return False
        self.held += 1
        self._fill(slot, self._spec)
        return True

    def _fill(self, slot: Slot, spec: ServiceSpec) -> None:
        pending = slot.wanted[-1] if slot.wanted else None
        attempt = pending.attempt if pending is not None else 0
        if pending is None and (ended := slot.last_end()) is not None:
            verdict = restart.answer(spec.task.restart, self._ends(slot, ended), now_ms=self._draft.now_ms)
            if verdict.due_ms is None:
                return
            if verdict.due_ms > self._draft.now_ms:
                self._draft.wake(ended.service_id, verdict.due_ms)
                return
            attempt = verdict.attempt
        for task in slot.ended:
            self._draft.stop(task, TaskState.SHUTDOWN, "replaced by its successor")
        number = slot.key if isinstance(slot.key, int) else 0
        self._needs.append((slot.key, Need(number, attempt, pending)))

    def _ends(self, slot: Slot, newest: Task) -> list[tuple[Task, TaskStatus | None]]:
        statuses = self._draft.view.task_status
        return [(task, statuses.get(task.id)) for task in slot.ended if task.revision == newest.revision]

    def place(self, service_id: str, counts: dict[str, int]) -> list[str]:
        """Write the tasks; why some are not placed.

        Args:
            counts: the service's wanted tasks by node; kept up.
        """
        if not self._needs or self._spec is None:
            return []
        draft, spec = self._draft, self._spec
        demand = demand_of(spec, draft.view.networks)
        placing = Placing(draft, service_id=service_id, spec=spec, revision=self._revision, demand=demand)
        if spec.HasField("global"):
            return [placing.on(draft.ledger.hosts[str(key)], need, 0) for key, need in self._needs]
        needs = held_back(draft, spec, demand, self._needs, self._slots)
        return placing.spread(in_order(need for _, need in needs), counts, ())


def _before(draft: Draft, service: Service, update: UpdateStatus | None) -> ServiceSpec | None:
    """The service's spec with the template that ran before the update; None when the gate is open."""
    if update is None or not rollout.awaits_promotion(update, service.spec.update):
        return None
    earlier = draft.view.revision_of(service.meta.id, update.previous_revision)
    if earlier is None:
        return None
    made = ServiceSpec()
    made.CopyFrom(service.spec)
    made.task.CopyFrom(earlier.spec.task)
    made.task.placement.CopyFrom(service.spec.task.placement)
    made.endpoint.CopyFrom(earlier.spec.endpoint)
    return made
