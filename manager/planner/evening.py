"""What is left to do of a user's wish to even a service out over the nodes, told from its tasks as they are."""

from collections.abc import Iterable

from manager.planner import rebalance
from manager.planner.affinity import Company
from manager.planner.demand import Demand
from manager.planner.draft import Draft
from manager.planner.rebalance import Move
from manager.planner.rolls import Roll, key_of
from manager.planner.slots import age
from shoal.api.v1.service_pb2 import Service
from shoal.api.v1.task_pb2 import Task
from shoal.task_states import is_live, is_ready, is_wanted

_AT_ONCE = 10
"""Moves that a pass looks for: their pace is that of an update, so more would wait."""


def carried_out_ms(draft: Draft, service_id: str) -> int:
    """The newest `Service.rebalance_at_ms` of which nothing is left to do; 0 when none is."""
    known = draft.view.service_status.get(service_id)
    return known.rebalanced_at_ms if known is not None else 0


def wake_leaving(draft: Draft, service: Service, roll: Roll, demand: Demand) -> dict[str, str] | None:
    """As `find_leaving`: nodes by the ids of the tasks, whose slots are decided about in this pass."""
    found = find_leaving(draft, service, roll, demand)
    for task, _ in found or ():
        roll.wake(key_of(task))
    return {task.id: node_id for task, node_id in found} if found is not None else None


def find_leaving(draft: Draft, service: Service, roll: Roll, demand: Demand) -> list[tuple[Task, str]] | None:
    """Tasks that are to move, each with the id of the node that it goes to; None when the wish is carried out.

    Those whose successors have been started elsewhere go nowhere any more: the id is empty.
    """
    asked_at, over_at = service.rebalance_at_ms, service.rebalance_at_ms + rebalance.WINDOW_MS
    if asked_at <= carried_out_ms(draft, service.meta.id) or demand.fault or draft.now_ms >= over_at:
        return []
    if draft.now_ms <= asked_at:  # what is made now would count as made before
        draft.wake(service.meta.id, asked_at + 1)
        return []
    newest, older = _by_slot(draft, roll)
    replaced = [(task, "") for task, heir in older if task.created_at_ms <= asked_at < heir.created_at_ms]
    moving = _moves(draft, service, newest, demand, asked_at_ms=asked_at, most=_AT_ONCE)
    leaving = [*replaced, *((move.task, move.to.id) for move in moving)]
    if not leaving and not _moves(draft, service, newest, demand, asked_at_ms=asked_at, most=1, ready=False):
        return None
    draft.unplaced.add(service.meta.id)  # what comes free elsewhere may be where its tasks go
    draft.wake(service.meta.id, over_at)
    return leaving


def planned_moves(draft: Draft, service: Service, demand: Demand, *, most: int) -> list[Move]:
    """What would move if the user asked for it now."""
    newest, _ = _by_slot(draft, draft.rolls.roll(service.meta.id))
    return _moves(draft, service, newest, demand, asked_at_ms=draft.now_ms, most=most)


def _moves(
    draft: Draft,
    service: Service,
    tasks: list[Task],
    demand: Demand,
    *,
    asked_at_ms: int,
    most: int,
    ready: bool = True,
) -> list[Move]:
    if demand.single_node or demand.homed:
        return []
    # Only tasks made before it was asked move, so that each moves once.
    company = Company(draft.view, draft.ledger, service.spec, draft.shy_of(service.spec.name))
    hosts = company.admitted(draft.ranked(demand))
    statuses = draft.view.task_status

    def may_move(task: Task) -> bool:
        return task.created_at_ms <= asked_at_ms and (not ready or is_ready(task, statuses.get(task.id)))

    return rebalance.moves(tasks, hosts, demand, may_move=may_move, most=most)


def _by_slot(draft: Draft, roll: Roll) -> tuple[list[Task], list[tuple[Task, Task]]]:
    """The newest wanted task of each slot, and the older ones, each with the newest of its slot."""
    newest: list[Task] = []
    older: list[tuple[Task, Task]] = []
    for key in sorted(roll.tasks, key=str):
        wanted = sorted(_placed(draft, roll.tasks[key]), key=age)
        if wanted:
            newest.append(wanted[-1])
            older += [(task, wanted[-1]) for task in wanted[:-1]]
    return newest, older


def _placed(draft: Draft, tasks: Iterable[Task]) -> list[Task]:
    statuses = draft.view.task_status
    return [task for task in tasks if task.node_id and is_wanted(task) and is_live(task, statuses.get(task.id))]
