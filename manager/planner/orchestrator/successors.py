"""New tasks of the effective template: requested slot by slot, then placed as one batch."""

from collections.abc import Mapping, Sequence
from functools import cached_property

from manager.planner.draft import Draft
from manager.planner.index.slot_index import SlotKey, age
from manager.planner.scheduler.placement_request import PlacementRequest, pending_first
from manager.planner.scheduler.placer import Placer
from manager.planner.slots import preferred_nodes, task_history
from manager.planner.slots.single_writer import await_predecessors
from manager.planner.slots.slot_tasks import Slot, retire_ended
from manager.planner.spec.requirements import Requirements
from manager.planner.spec.running_template import DesiredTemplate
from manager.planner.updates.slot_decision import NOTHING, SlotDecision
from manager.planner.updates.update_monitor import UpdateMonitor
from manager.planner.updates.update_pace import UnavailableSlot
from shoal.api.v1.service_pb2 import Service
from shoal.api.v1.task_pb2 import Task
from shoal.restarts import restart_policy


class Successors:
    """The new tasks of one service in one pass.

    Args:
        service: the effective one.
    """

    def __init__(
        self,
        draft: Draft,
        service: Service,
        desired: DesiredTemplate,
        demand: Requirements,
        monitor: UpdateMonitor,
    ) -> None:
        self._draft = draft
        self._id, self._spec = service.meta.id, service.spec
        self._is_global = service.spec.HasField("global")
        self._desired, self._demand, self._monitor = desired, demand, monitor

    @cached_property
    def placer(self) -> Placer:
        """Where they can go."""
        return Placer(
            self._draft, service_id=self._id, spec=self._spec, revision=self._desired.revision, demand=self._demand
        )

    def refill(self, slot: Slot, *, start_first: bool = False, preferred_node: str = "") -> SlotDecision:
        """Fill a slot that has no task to run, unless the restart policy says later or never.

        Args:
            start_first: it has one, and the successor starts before that is stopped.
            preferred_node: the node that its next task goes to, when it fits there.
        """
        ended = slot.restart_candidate()
        attempt = 0
        if ended is not None and not self._desired.differs(ended):
            restart = self._decide_restart(slot)
            if restart.due_ms is None or restart.due_ms > self._draft.now_ms:
                return self._await_restart(slot, restart)
            attempt = restart.attempt
        elif (newest := _ended_last(slot)) is not None and not self._desired.differs(newest):
            attempt = restart_policy.next_attempt(newest, self._draft.view.task_status.get(newest.id))
        number = slot.key if isinstance(slot.key, int) else 0
        if start_first:
            request = PlacementRequest(number, attempt, start_first=True, preferred_node=preferred_node)
            return SlotDecision(stops=retire_ended(slot), requests=(request,))
        preferred_node = preferred_nodes.preferred_node(slot.ended) if attempt else preferred_node
        # Where a global service cannot place a task there is no record of a pending one.
        hopeless = self._is_global and not any(slot.all())
        return SlotDecision(
            stops=retire_ended(slot),
            unavailable=UnavailableSlot(pending=hopeless, crashing=attempt > 0, failed=self._monitor.has_failed(slot)),
            requests=(PlacementRequest(number, attempt, preferred_node=preferred_node),),
        )

    def failed_first(self, slot: Slot) -> SlotDecision | None:
        """What follows when a successor that was started first has failed; None when another one may be started."""
        if (ended := slot.restart_candidate()) is None or self._desired.differs(ended):
            return None
        restart = self._decide_restart(slot)
        is_due = restart.due_ms is not None and restart.due_ms <= self._draft.now_ms
        return None if is_due else self._await_restart(slot, restart)

    def _is_counted(self, task: Task) -> bool:
        return not self._desired.differs(task)

    def _decide_restart(self, slot: Slot) -> restart_policy.RestartDecision:
        statuses = self._draft.view.task_status
        ends = [(task, statuses.get(task.id)) for task in slot.ended if not self._desired.differs(task)]
        return restart_policy.decide(self._spec.task.restart, ends, now_ms=self._draft.now_ms)

    def _await_restart(self, slot: Slot, restart: restart_policy.RestartDecision) -> SlotDecision:
        """The slot gets no task now: its restart is due later, or never."""
        if not restart.problem and restart.due_ms is None:
            return NOTHING
        return SlotDecision(
            requeue_at_ms=restart.due_ms,
            unavailable=UnavailableSlot(crashing=True, failed=self._monitor.has_failed(slot)),
            problems=frozenset({restart.problem} - {""}),
        )

    def place(
        self,
        requests: Sequence[tuple[SlotKey, PlacementRequest]],
        slots: Mapping[SlotKey, Slot],
        counts: dict[str, int],
    ) -> list[str]:
        """Place the requested tasks; why some are not placed.

        Args:
            slots: the service's, as they were when the pass began.
            counts: the service's active tasks by node; updated.
        """
        draft, every = self._draft, list(slots.values())
        requests = task_history.with_restarts(draft, requests, slots, self._spec.task.restart, self._is_counted)
        if self._is_global:
            hosts = draft.resources.hosts
            return [self.placer.place_on(hosts[str(key)], request, 0) for key, request in requests]
        failing = task_history.failing_nodes(draft, every) | {
            node for slot in every for node in preferred_nodes.avoided_nodes(slot.ended)
        }
        requests = await_predecessors(draft, self._spec, self._demand, requests, slots)
        return self.placer.place_all(pending_first(request for _, request in requests), counts, failing)


def _ended_last(slot: Slot) -> Task | None:
    """The newest task of the slot where that has ended; a task that still runs is moved, which is no restart."""
    newest = slot.ended[-1] if slot.ended else None
    return newest if newest is not None and all(age(newest) > age(task) for task in slot.active) else None
