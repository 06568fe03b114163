"""What a pass decides about one slot: everything that it does, and everything that it leaves for later stages."""

from typing import NamedTuple

from manager.planner.scheduler.placement_request import PlacementRequest
from manager.planner.slots.slot_tasks import TaskStop
from manager.planner.updates.update_pace import Replacement, UnavailableSlot
from shoal.api.v1.task_pb2 import Task


class SlotDecision(NamedTuple):
    """A decision that equals `NOTHING` has no effect, and the slot settles. Equality covers every field.

    Attributes:
        stops: tasks to stop, in order; none that stops already.
        new_revisions: tasks that run the desired template under an older number, with the desired one.
        requeue_at_ms: when time alone may change the decision, milliseconds since the Unix epoch.
        requests: tasks of the desired template to be placed in this pass.
        stable_requests: the same of the template from before the canaries.
        replacement: its task is to be replaced when the pace allows it.
        unavailable: for the pace: the slot has no available task of the desired template, and none to replace.
        stable_unavailable: the same of a stable task, which no update waits for.
        outdated: its task is of another template.
        expected: its task is to be replaced and is not available yet.
        is_stable: it gets, or waits for, a stable task.
        problems: one line each for the user.
    """

    stops: tuple[TaskStop, ...] = ()
    new_revisions: tuple[tuple[Task, int], ...] = ()
    requeue_at_ms: int | None = None
    requests: tuple[PlacementRequest, ...] = ()
    stable_requests: tuple[PlacementRequest, ...] = ()
    replacement: Replacement | None = None
    unavailable: UnavailableSlot | None = None
    stable_unavailable: UnavailableSlot | None = None
    outdated: Task | None = None
    expected: Task | None = None
    is_stable: bool = False
    problems: frozenset[str] = frozenset()

    def after_stops(self, stops: tuple[TaskStop, ...]) -> "SlotDecision":
        """The decision with these stops before its own."""
        return self._replace(stops=(*stops, *self.stops)) if stops else self

    def requeued(self, at_ms: int | None) -> "SlotDecision":
        """The decision, due at that time too; None: at no other time."""
        if at_ms is None:
            return self
        return self._replace(requeue_at_ms=at_ms if self.requeue_at_ms is None else min(at_ms, self.requeue_at_ms))


NOTHING = SlotDecision()
