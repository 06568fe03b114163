"""New tasks of the effective template: requested slot by slot, then placed as one batch."""

from collections.abc import Mapping
from functools import cached_property

from manager.planner.draft import Draft
from manager.planner.index.slot_index import SlotKey
from manager.planner.scheduler.placement_request import PlacementRequest, pending_first
from manager.planner.scheduler.placer import Placer
from manager.planner.slots import restart_policy, task_history
from manager.planner.slots.single_writer import await_predecessors
from manager.planner.slots.slot_tasks import Slot
from manager.planner.spec.requirements import Requirements
from manager.planner.spec.running_template import DesiredTemplate
from manager.planner.updates.pass_decisions import PassDecisions
from manager.planner.updates.update_monitor import UpdateMonitor
from manager.planner.updates.update_pace import UnavailableSlot
from shoal.api.v1.service_pb2 import Service
from shoal.api.v1.task_pb2 import TaskState


class Successors:
    """The new tasks of one service in one pass.

    Args:
        service: the effective one.
        decisions: of the pass, to add to.
    """

    def __init__(
        self,
        draft: Draft,
        service: Service,
        desired: DesiredTemplate,
        demand: Requirements,
        monitor: UpdateMonitor,
        decisions: PassDecisions,
    ) -> None:
        self._draft = draft
        self._id, self._spec = service.meta.id, service.spec
        self._is_global = service.spec.HasField("global")
        self._desired, self._demand, self._monitor = desired, demand, monitor
        self._decisions = decisions

    @cached_property
    def placer(self) -> Placer:
        """Where they can go."""
        return Placer(
            self._draft, service_id=self._id, spec=self._spec, revision=self._desired.revision, demand=self._demand
        )

    def refill(self, slot: Slot, *, start_first: bool, preferred_node: str = "") -> None:
        """Fill a slot that has no task to run, unless the restart policy says later or never.

        Args:
            start_first: it has one, and the successor starts before that is stopped.
            preferred_node: the node that its next task goes to, when it fits there.
        """
        ended = slot.restart_candidate()
        attempt = 0
        if ended is not None and not self._desired.differs(ended):
            decision = self.decide_restart(slot)
            if decision.due_ms is None or decision.due_ms > self._draft.now_ms:
                return
            attempt = decision.attempt
        elif slot.ended and not self._desired.differs(newest := slot.ended[-1]):
            attempt = restart_policy.next_attempt(newest, self._draft.view.task_status.get(newest.id))
        self.retire_ended(slot)
        if not start_first:
            # Where a global service cannot place a task there is no record of a pending one.
            hopeless = self._is_global and not any(slot.all())
            failed = self._monitor.has_failed(slot)
            self._decisions.unavailable.append(UnavailableSlot(pending=hopeless, crashing=attempt > 0, failed=failed))
        number = slot.key if isinstance(slot.key, int) else 0
        preferred_node = restart_policy.preferred_node(slot.ended) if attempt and not start_first else preferred_node
        self._decisions.requests.append(
            (slot.key, PlacementRequest(number, attempt, start_first=start_first, preferred_node=preferred_node))
        )

    def may_start_first(self, slot: Slot) -> bool:
        """Whether a successor may start before the slot's task is stopped: not soon after one has failed there."""
        if (ended := slot.restart_candidate()) is None or self._desired.differs(ended):
            return True
        decision = self.decide_restart(slot)
        return decision.due_ms is not None and decision.due_ms <= self._draft.now_ms

    def retire_ended(self, slot: Slot) -> None:
        """Stop the ended tasks of the slot: their successor is decided."""
        for task in slot.ended:
            self._draft.stop(task, TaskState.SHUTDOWN, "replaced by its successor")

    def decide_restart(self, slot: Slot) -> restart_policy.RestartDecision:
        """What the restart policy decides about the slot, whose task has ended; a problem is reported."""
        statuses = self._draft.view.task_status
        ends = [(task, statuses.get(task.id)) for task in slot.ended if not self._desired.differs(task)]
        decision = restart_policy.decide(self._spec.task.restart, ends, now_ms=self._draft.now_ms)
        if decision.problem:
            self._decisions.problems.add(decision.problem)
        is_due = decision.due_ms is not None and decision.due_ms <= self._draft.now_ms
        if decision.due_ms is not None and not is_due:
            self._draft.requeue_at(self._id, decision.due_ms)
        # A successor that is due now counts where it is requested.
        if decision.problem or (decision.due_ms is not None and not is_due):
            self._decisions.unavailable.append(UnavailableSlot(crashing=True, failed=self._monitor.has_failed(slot)))
        return decision

    def place(self, slots: Mapping[SlotKey, Slot], counts: dict[str, int]) -> int:
        """Place the requested tasks; how many started before their predecessors were stopped.

        Args:
            slots: the service's, as they were when the pass began.
            counts: the service's active tasks by node; updated.
        """
        if not self._decisions.requests:
            return 0
        draft, every, placer = self._draft, list(slots.values()), self.placer
        if self._is_global:
            self._decisions.problems.update(
                placer.place_on(draft.resources.hosts[str(key)], request, 0)
                for key, request in self._decisions.requests
            )
            return placer.started_first
        failing = task_history.failing_nodes(draft, every) | {
            node for slot in every for node in restart_policy.avoided_nodes(slot.ended)
        }
        requests = await_predecessors(draft, self._spec, self._demand, self._decisions.requests, slots)
        self._decisions.problems.update(
            placer.place_all(pending_first(request for _, request in requests), counts, failing)
        )
        return placer.started_first
