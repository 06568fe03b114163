"""Decides about one slot: which of its tasks stay, and what replaces the others. Writes nothing.

Only the canary gate counts from slot to slot how many more canaries there may be.
"""

from manager.planner.orchestrator.service_context import ServiceContext
from manager.planner.scheduler.placement_request import PlacementRequest
from manager.planner.slots.drain_deadline import check_deadline
from manager.planner.slots.slot_tasks import Slot, TaskStop, keep_best, retire_ended, stop_orphaned_sharers, stop_slot
from manager.planner.updates.slot_decision import NOTHING, SlotDecision
from manager.planner.updates.stable_tasks import await_ready
from manager.planner.updates.update_pace import Replacement, UnavailableSlot
from shoal.api.v1.task_pb2 import Task, TaskState
from shoal.task_states import is_ready

_SURPLUS = "another task runs in its slot"


def decide(context: ServiceContext, slot: Slot) -> SlotDecision:
    """What follows for the slot from its tasks; `NOTHING` when all is as it is to be.

    Tasks that are to stop at once become stopping ones of the slot.
    """
    why = context.home_nodes.move_reason(slot.key) if context.home_nodes else ""
    stops = stop_slot(slot, why) if why else ()
    stops += stop_orphaned_sharers(context.draft, slot)
    decision = context.gate.fill_stable(slot)
    if decision is None:
        decision = _decide_tasks(context, slot)
    return _only_new_stops(context, decision.after_stops(stops))


def _only_new_stops(context: ServiceContext, decision: SlotDecision) -> SlotDecision:
    """The decision without stops of tasks that stop already."""
    if not decision.stops:
        return decision
    desired = context.draft.desired
    return decision._replace(stops=tuple(stop for stop in decision.stops if desired(stop.task) < stop.desired))


def _decide_tasks(context: ServiceContext, slot: Slot) -> SlotDecision:
    current: list[Task] = []
    stale: list[Task] = []
    for task in slot.active:
        (current if _is_current(context, task) else stale).append(task)
    checks = [(task, _check_drain(context, task)) for task in stale]
    kept = [task for task, check in checks if not isinstance(check, TaskStop)]
    overdue = tuple(check for _, check in checks if isinstance(check, TaskStop))
    requeue_at_ms = min((check for _, check in checks if isinstance(check, int)), default=None)
    if current:
        decision = _keep_current(context, slot, current, kept)
    elif kept:
        decision = _decide_stale(context, slot, kept)
    elif stale and context.gate.stable and context.desired.differs(stale[-1]):
        decision = SlotDecision(is_stable=True, stable_unavailable=UnavailableSlot())
    elif slot.stopping or stale:
        decision = SlotDecision(unavailable=UnavailableSlot())
    else:
        decision = context.successors.refill(slot)
    return decision.after_stops(overdue).requeued(requeue_at_ms)


def _is_current(context: ServiceContext, task: Task) -> bool:
    # A pending task is rewritten with the desired revision, and so is never outdated.
    if not task.node_id:
        return True
    return not (context.is_leaving(task) or context.misplaced.reason(task) or context.desired.differs(task))


def _check_drain(context: ServiceContext, task: Task) -> TaskStop | int | None:
    """The task's stop if it must not wait for a successor on another node, else when the drain deadline passes."""
    if context.demand.single_node and context.draft.is_drained(task.node_id):
        reason = "its node is drained, and its volume can be on one node at a time"
        return TaskStop(task, TaskState.SHUTDOWN, reason)
    return check_deadline(context.draft, task)


def _keep_current(context: ServiceContext, slot: Slot, current: list[Task], stale: list[Task]) -> SlotDecision:
    """One of the current tasks stays; stale ones run until it is available."""
    draft, desired = context.draft, context.desired
    best, surplus = keep_best(draft, current, _SURPLUS)
    stops = (*retire_ended(slot), *surplus)
    revisions = ((best, desired.revision),) if best.node_id and desired.has_older_number(best) else ()
    available_at_ms = context.monitor.available_at_ms(best)
    if available_at_ms is not None and available_at_ms <= draft.now_ms:
        stops += tuple(TaskStop(task, TaskState.SHUTDOWN, context.move_reason(task)) for task in stale)
        return SlotDecision(stops=stops, new_revisions=revisions) if stops or revisions else NOTHING
    if stale:
        stops += keep_best(draft, stale, _SURPLUS)[1]
    failed = context.monitor.has_failed(slot)
    return SlotDecision(
        stops=stops,
        new_revisions=revisions,
        requeue_at_ms=available_at_ms,
        unavailable=UnavailableSlot(best.created_at_ms, not best.node_id, best.attempt > 0, failed),
        requests=() if best.node_id else (PlacementRequest(best.slot, best.attempt, best),),
    )


def _decide_stale(context: ServiceContext, slot: Slot, tasks: list[Task]) -> SlotDecision:
    """None of the tasks is to stay, except stable ones before a promotion, where they may."""
    draft = context.draft
    stable = context.gate.stable if all(map(context.desired.differs, tasks)) else None
    staying = [task for task in tasks if not context.leaves(task, stable)] if stable else []
    best, surplus = keep_best(draft, staying or tasks, _SURPLUS)
    leaving = [task for task in tasks if task not in staying] if staying else []
    if not stable or not leaving:
        return _consider_replacing(context, slot, best).after_stops(surplus)
    if _is_ready(context, best):
        moved = tuple(TaskStop(task, TaskState.SHUTDOWN, stable.misplaced.move_reason(task)) for task in leaving)
        return SlotDecision(stops=(*surplus, *moved), outdated=best)
    moved = keep_best(draft, leaving, _SURPLUS)[1]
    return SlotDecision(stops=(*surplus, *moved), outdated=best, stable_unavailable=await_ready(best))


def _consider_replacing(context: ServiceContext, slot: Slot, task: Task) -> SlotDecision:
    outdated = context.desired.differs(task)
    stable = context.gate.stable if outdated else None
    is_serving = _is_ready(context, task)
    decision = SlotDecision(outdated=task) if outdated else _await_available(context, slot, task)
    if stable and not context.leaves(task, stable):
        if context.gate.is_full and not is_serving:
            return decision._replace(stable_unavailable=await_ready(task))
        stable = None
    if context.starts_first(context.policy, stable):
        failed = (stable or context.successors).failed_first(slot)
        if failed is not None:
            left = failed._replace(outdated=decision.outdated, expected=decision.expected)
            return left.requeued(decision.requeue_at_ms)
    misplaced = bool((stable or context).misplaced.reason(task))
    leaving = context.is_leaving(task)
    return decision._replace(replacement=Replacement(task, is_serving, outdated and not stable, leaving, misplaced))


def _await_available(context: ServiceContext, slot: Slot, task: Task) -> SlotDecision:
    """The task is of the desired template: an update that is under way waits for it, unless one failed in its slot."""
    if not context.monitor.is_active:
        return NOTHING
    now_ms, at_ms = context.draft.now_ms, context.monitor.available_at_ms(task)
    if at_ms is not None and at_ms <= now_ms:
        return NOTHING
    return SlotDecision(requeue_at_ms=at_ms, expected=None if context.monitor.has_failed(slot) else task)


def _is_ready(context: ServiceContext, task: Task) -> bool:
    return is_ready(task, context.draft.view.task_status.get(task.id))
