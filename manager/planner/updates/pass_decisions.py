"""What the decisions about the slots of one service leave for the later stages of a pass: update, placement, status."""

from dataclasses import dataclass, field, fields

from manager.planner.index.slot_index import SlotKey
from manager.planner.scheduler.placement_request import PlacementRequest
from manager.planner.slots.slot_tasks import Slot
from manager.planner.updates.update_pace import Replacement, UnavailableSlot
from shoal.api.v1.task_pb2 import Task


@dataclass(slots=True)
class PassDecisions:
    """Those of one service in one pass. Whatever a decision adds makes its slot stay dirty.

    Attributes:
        requests: tasks of the desired template to be placed.
        stable_requests: the same of the template from before the canaries.
        replacements: tasks that are to be replaced when the pace allows it, with their slots.
        unavailable: slots that have no available task of the desired template, and none that could be replaced.
        stable_unavailable: slots of stable tasks without a ready one, for the pace of further moves.
        outdated: tasks of another template.
        awaited: tasks that are to be replaced and are not available yet.
        stable_slots: slots that get, or wait for, a stable task.
        problems: one line each for the user.
    """

    requests: list[tuple[SlotKey, PlacementRequest]] = field(default_factory=list)
    stable_requests: list[tuple[SlotKey, PlacementRequest]] = field(default_factory=list)
    replacements: list[tuple[Slot, Replacement]] = field(default_factory=list)
    unavailable: list[UnavailableSlot] = field(default_factory=list)
    stable_unavailable: list[UnavailableSlot] = field(default_factory=list)
    outdated: list[Task] = field(default_factory=list)
    expected: list[Task] = field(default_factory=list)
    stable_slots: list[SlotKey] = field(default_factory=list)
    problems: set[str] = field(default_factory=set)

    def sizes(self) -> tuple[int, ...]:
        """Of each field: they differ after a decision that leaves anything. A field that is added counts too."""
        return tuple([len(getattr(self, name)) for name in _FIELDS])


_FIELDS = tuple(each.name for each in fields(PassDecisions))
