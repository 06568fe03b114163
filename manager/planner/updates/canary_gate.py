"""The canary gate: until an update is promoted, no more slots than its canaries run the new template.

Slots that are new (the service was scaled, even from 0, or together with its template) or whose tasks have ended get a
stable task, unless there are fewer canaries than requested. So nothing but the promotion promotes. A canary whose task
ends, or moves, keeps its slot. A paused update creates no canaries.
"""

from collections.abc import Iterable, Mapping

from manager.planner.draft import Draft
from manager.planner.index.slot_index import ServiceSlots, SlotKey, age
from manager.planner.slots.slot_tasks import Slot
from manager.planner.spec.running_template import DesiredTemplate
from manager.planner.updates import update_state
from manager.planner.updates.slot_decision import SlotDecision
from manager.planner.updates.stable_tasks import StableTasks, stable_spec
from shoal.api.v1.service_pb2 import Service, UpdateStatus
from shoal.api.v1.task_pb2 import TaskState


class CanaryGate:
    """The gate of one service in one pass; open when no update awaits its promotion.

    Attributes:
        stable: the tasks of the template from before; None when the gate is open.
        extra_canaries: canaries outside the service's slots (of a global service: on paused nodes).
        running_revision: the newest revision that the tasks run when the update begins with this pass, else 0.
    """

    def __init__(
        self,
        draft: Draft,
        newest: Service,
        effective: Service,
        desired: DesiredTemplate,
        update: UpdateStatus | None,
    ) -> None:
        """`update` is the status of the update to the newest template; None when it has not begun."""
        self._draft = draft
        self._newest, self._effective = newest, effective
        self._desired = desired
        self._update = update
        self._canaries_left = 0
        self._reserved: frozenset[SlotKey] = frozenset()
        self.stable: StableTasks | None = None
        self.extra_canaries = 0
        self.running_revision = 0

    def begin(self, index: ServiceSlots, kept: list[Slot], slots: Mapping[SlotKey, Slot]) -> None:
        """Count the canaries, once the slots of the service are chosen.

        Args:
            kept: the dirty ones of them.
            slots: all dirty ones: the others are removed, or stay as they are and are not decided about.
        """
        if not self._newest.spec.update.canary:
            return
        update = self._update or self._starting_update(index, kept)
        if update is None or not update_state.awaits_promotion(update, self._newest.spec.update):
            return
        spec = stable_spec(self._draft, self._effective, update)
        if spec is None:
            return
        self.stable = StableTasks(self._draft, self._newest.meta.id, spec, update.previous_revision, index)
        self.extra_canaries = self._count_extra_canaries({slot.key for slot in kept}, slots)
        known = len(index.settled) - len(index.outdated) + sum(map(self._is_canary, kept)) + self.extra_canaries
        missing = max(0, self._newest.spec.update.canary - known)
        self._reserved = frozenset(sorted((slot.key for slot in kept if self._was_canary(slot)), key=str)[:missing])
        self._canaries_left = 0 if update.state == UpdateStatus.PAUSED else missing - len(self._reserved)

    @property
    def is_full(self) -> bool:
        """No slot but the canaries' gets the new template."""
        return not self._canaries_left

    def fill_stable(self, slot: Slot) -> SlotDecision | None:
        """Fill the slot, which has no task on a node, with a stable task; None when it is a canary's."""
        if self.stable is None or self._is_canary(slot) or any(task.node_id for task in slot.active):
            return None
        if slot.key in self._reserved:
            return None
        if self._canaries_left:
            self._canaries_left -= 1
            return None
        return self.stable.fill(slot)

    def _count_extra_canaries(self, kept: set[SlotKey], slots: Mapping[SlotKey, Slot]) -> int:
        others = [slot for key, slot in slots.items() if key not in kept]
        return sum(self._is_canary(slot) and not any(map(self._draft.is_stopping, slot.active)) for slot in others)

    def _is_canary(self, slot: Slot) -> bool:
        return any(not self._desired.differs(task) for task in slot.active)

    def _was_canary(self, slot: Slot) -> bool:
        """The slot has no active task, and its newest one ran the new template."""
        if slot.active:
            return False
        newest = max((*slot.stopping, *slot.unreachable, *slot.ended), key=age, default=None)
        return newest is not None and newest.desired_state < TaskState.REMOVE and not self._desired.differs(newest)

    def _starting_update(self, index: ServiceSlots, kept: Iterable[Slot]) -> UpdateStatus | None:
        """The update as this pass begins it; None when no task is to be replaced."""
        tasks = (task for slot in kept for task in slot.active if task.node_id)
        outdated = [task.revision for task in tasks if self._desired.differs(task)]
        self.running_revision = max((*outdated, *index.outdated.values()), default=0)
        if not self.running_revision:
            return None
        known = self._draft.view.service_status.get(self._newest.meta.id)
        before = known.update if known is not None and known.HasField("update") else None
        observed = update_state.Observed(
            slots=0,
            running_revision=self.running_revision,
            reverts=update_state.reverts(before, self._desired.differs_from),
        )
        return update_state.begin(
            before, observed, self._newest.task_revision, self._newest.update_control, self._draft.now_ms
        )
