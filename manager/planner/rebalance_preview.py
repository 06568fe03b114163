"""What a rebalance would move, for a user who asks before it is requested. Pure."""

from manager.planner.draft import Draft
from manager.planner.index.resource_index import ResourceIndex
from manager.planner.index.slot_index import SlotIndex
from manager.planner.orchestrator.rebalance_moves import RebalanceMove
from manager.planner.orchestrator.rebalance_request import planned_moves
from manager.planner.spec.effective_spec import effective
from manager.planner.spec.requirements import requirements_of
from manager.store.tables import View
from shoal.api.v1.service_pb2 import Service


def preview(view: View, service: Service, *, now_ms: int, limit: int) -> list[RebalanceMove]:
    """The moves that a request would lead to if it were made now, at most so many.

    Args:
        now_ms: milliseconds since the Unix epoch.
    """
    in_force = effective(view, service)
    resources, slot_index = ResourceIndex.of(view), SlotIndex.of(view, [service.meta.id])
    draft = Draft(view=view, resources=resources, slot_index=slot_index, now_ms=now_ms, new_id=_no_id)
    return planned_moves(draft, in_force, requirements_of(in_force.spec, view.networks), most=limit)


def _no_id() -> str:
    raise AssertionError("a preview creates no tasks")
