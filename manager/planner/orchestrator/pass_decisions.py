"""What the decisions about the slots of one service add up to, for the later stages of a pass."""

from collections.abc import Sequence

from manager.planner.draft import Draft
from manager.planner.index.slot_index import SlotKey
from manager.planner.scheduler.placement_request import PlacementRequest
from manager.planner.slots.slot_tasks import Slot
from manager.planner.updates.slot_decision import SlotDecision
from manager.planner.updates.update_pace import Replacement, UnavailableSlot
from shoal.api.v1.task_pb2 import Task


class PassDecisions:
    """Those of one service in one pass; for the attributes see `SlotDecision`."""

    def __init__(self, draft: Draft, service_id: str) -> None:
        self._draft = draft
        self._service_id = service_id
        self.requests: list[tuple[SlotKey, PlacementRequest]] = []
        self.stable_requests: list[tuple[SlotKey, PlacementRequest]] = []
        self.replacements: list[tuple[Slot, Replacement]] = []
        self.unavailable: list[UnavailableSlot] = []
        self.stable_unavailable: list[UnavailableSlot] = []
        self.outdated: list[Task] = []
        self.expected: list[Task] = []
        self.stable_slots: list[SlotKey] = []
        self.problems: set[str] = set()

    def add(self, slot: Slot, decision: SlotDecision) -> None:
        """Write what the decision does into the draft, and gather what it leaves."""
        for stop in decision.stops:
            self._draft.stop(*stop)
        for task, revision in decision.new_revisions:
            self._draft.set_revision(task, revision)
        if decision.requeue_at_ms is not None:
            self._draft.requeue_at(self._service_id, decision.requeue_at_ms)
        self.requests += ((slot.key, request) for request in decision.requests)
        self.stable_requests += ((slot.key, request) for request in decision.stable_requests)
        if decision.replacement is not None:
            self.replacements.append((slot, decision.replacement))
        self._count(slot, decision)
        self.problems |= decision.problems

    def add_new(self, numbers: Sequence[int]) -> None:
        """Request tasks for slots that have none, which may be all of a large service."""
        self.requests += [(number, PlacementRequest(number)) for number in numbers]
        self.unavailable += [UnavailableSlot()] * len(numbers)

    def _count(self, slot: Slot, decision: SlotDecision) -> None:
        if decision.unavailable is not None:
            self.unavailable.append(decision.unavailable)
        if decision.stable_unavailable is not None:
            self.stable_unavailable.append(decision.stable_unavailable)
        if decision.outdated is not None:
            self.outdated.append(decision.outdated)
        if decision.expected is not None:
            self.expected.append(decision.expected)
        if decision.is_stable:
            self.stable_slots.append(slot.key)
