"""Decisions about slots write nothing: what they do is in their values, so none of it is missed when a slot settles."""

from manager.planner.draft import Draft
from manager.planner.index.resource_index import ResourceIndex
from manager.planner.index.slot_index import SlotIndex
from manager.planner.orchestrator.service_context import ServiceContext
from manager.planner.orchestrator.slot_decisions import decide
from manager.planner.slots.slot_tasks import classify_dirty
from manager.planner.spec.service_modes import is_job
from manager.planner.updates.slot_decision import SlotDecision
from shoal.api.v1.service_pb2 import Service
from tests.fakes.planner_world import IdSource, World


def decisions(world: World) -> list[SlotDecision]:
    """What a pass over each service would decide now about its slots, in order; checked to write nothing."""
    services = [service for service in world.tables.services.values() if not is_job(service.spec)]
    return [decision for service in services for decision in _decide(world, service)]


def _decide(world: World, service: Service) -> list[SlotDecision]:
    view = world.tables
    draft = Draft(
        view=view,
        resources=ResourceIndex.of(view),
        slot_index=SlotIndex.of(view, [service.meta.id]),
        now_ms=world.now_ms,
        new_id=IdSource(0),
    )
    context = ServiceContext.of(draft, service)
    slots = classify_dirty(draft, context.index)
    kept = list(slots.values())
    context.gate.begin(context.index, kept, slots)
    for slot in kept:
        context.monitor.observe(slot)
    before = draft.writes(), dict(draft.timers), set(draft.blocked)
    found = [decide(context, slot) for slot in kept]
    assert (draft.writes(), draft.timers, draft.blocked) == before, f"a decision about {service.meta.id} writes"
    return found
