"""What is left to do of a user's rebalance request, read from the tasks as they are."""

from collections.abc import Iterable

from manager.planner.draft import Draft
from manager.planner.index.slot_index import ServiceSlots, age, slot_key
from manager.planner.orchestrator import rebalance_moves
from manager.planner.orchestrator.rebalance_moves import RebalanceMove
from manager.planner.scheduler.affinity import AffinityRules, anti_affine_to
from manager.planner.scheduler.node_ranking import ranked_nodes
from manager.planner.spec.requirements import Requirements
from shoal.api.v1.service_pb2 import Service
from shoal.api.v1.task_pb2 import Task
from shoal.task_states import is_live, is_ready, should_run

_MAX_MOVES = 10
"""Moves that a pass searches for: their pace is that of an update, so more would wait."""


def completed_request_ms(draft: Draft, service_id: str) -> int:
    """The newest `Service.rebalance_requested_at_ms` that is handled; 0 when none is."""
    known = draft.view.service_status.get(service_id)
    return known.handled_rebalance_at_ms if known is not None else 0


def mark_moving_dirty(
    draft: Draft, service: Service, index: ServiceSlots, demand: Requirements
) -> dict[str, str] | None:
    """As `find_moving`: nodes by the ids of the tasks, whose slots become dirty."""
    found = find_moving(draft, service, index, demand)
    for task, _ in found or ():
        index.mark_dirty(slot_key(task))
    return {task.id: node_id for task, node_id in found} if found is not None else None


def find_moving(
    draft: Draft, service: Service, index: ServiceSlots, demand: Requirements
) -> list[tuple[Task, str]] | None:
    """Tasks that are to move, each with the id of its target node; None when the request is handled.

    The id is empty for tasks whose successors have already been started elsewhere.
    """
    requested_at, deadline = (
        service.rebalance_requested_at_ms,
        service.rebalance_requested_at_ms + rebalance_moves.WINDOW_MS,
    )
    if requested_at <= completed_request_ms(draft, service.meta.id) or demand.error or draft.now_ms >= deadline:
        return []
    if draft.now_ms <= requested_at:  # a task that is created now would count as created before
        draft.requeue_at(service.meta.id, requested_at + 1)
        return []
    newest, older = _by_slot(draft, index)
    replaced = [(task, "") for task, successor in older if task.created_at_ms <= requested_at < successor.created_at_ms]
    moving = _moves(draft, service, newest, demand, requested_at_ms=requested_at, most=_MAX_MOVES)
    moving_tasks = [*replaced, *((move.task, move.to.id) for move in moving)]
    if not moving_tasks and not _moves(
        draft, service, newest, demand, requested_at_ms=requested_at, most=1, ready=False
    ):
        return None
    draft.blocked.add(service.meta.id)  # what is released elsewhere may be where its tasks fit
    draft.requeue_at(service.meta.id, deadline)
    return moving_tasks


def planned_moves(draft: Draft, service: Service, demand: Requirements, *, most: int) -> list[RebalanceMove]:
    """What would move if the user requested it now."""
    newest, _ = _by_slot(draft, draft.slot_index.of_service(service.meta.id))
    return _moves(draft, service, newest, demand, requested_at_ms=draft.now_ms, most=most)


def _moves(
    draft: Draft,
    service: Service,
    tasks: list[Task],
    demand: Requirements,
    *,
    requested_at_ms: int,
    most: int,
    ready: bool = True,
) -> list[RebalanceMove]:
    if demand.single_node or demand.is_bound:
        return []
    # Only tasks that were created before the request move, so that each moves once.
    affinity = AffinityRules(draft.view, draft.resources, service.spec, anti_affine_to(draft, service.spec.name))
    hosts = affinity.filter(ranked_nodes(draft, demand))
    statuses = draft.view.task_status

    def may_move(task: Task) -> bool:
        return task.created_at_ms <= requested_at_ms and (not ready or is_ready(task, statuses.get(task.id)))

    return rebalance_moves.find_moves(tasks, hosts, demand, may_move=may_move, most=most)


def _by_slot(draft: Draft, index: ServiceSlots) -> tuple[list[Task], list[tuple[Task, Task]]]:
    """The newest active task of each slot, and the older ones, each with the newest of its slot."""
    newest: list[Task] = []
    older: list[tuple[Task, Task]] = []
    for key in sorted(index.tasks, key=str):
        active = sorted(_placed(draft, index.tasks[key]), key=age)
        if active:
            newest.append(active[-1])
            older += [(task, active[-1]) for task in active[:-1]]
    return newest, older


def _placed(draft: Draft, tasks: Iterable[Task]) -> list[Task]:
    statuses = draft.view.task_status
    return [task for task in tasks if task.node_id and should_run(task) and is_live(task, statuses.get(task.id))]
