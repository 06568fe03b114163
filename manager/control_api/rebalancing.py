"""Services evened out over the nodes on demand: what would move, and the user's word to the planner."""

from itertools import count

from manager.control_api import revisions
from manager.control_api.lookup import find_service, hostname_of
from manager.control_api.seams import NowMs, Records
from manager.planner.demand import demand_of
from manager.planner.draft import Draft
from manager.planner.effective import effective
from manager.planner.evening import planned_moves
from manager.planner.ledger import Ledger
from manager.planner.rolls import Rolls
from manager.store.changes import put
from manager.store.kinds import SERVICE
from manager.store.tables import View
from shoal.api.v1.control_pb2 import RebalanceServiceRequest, RebalanceServiceResponse, TaskMove
from shoal.api.v1.service_pb2 import Service
from shoal.errors import Refused

MOST_MOVES = 1_000


class Rebalancing:
    """The call about it. The planner makes the moves, a few at a time."""

    def __init__(self, *, store: Records, now_ms: NowMs) -> None:
        self._store = store
        self._now_ms = now_ms

    async def rebalance(self, request: RebalanceServiceRequest) -> RebalanceServiceResponse:
        """Raises Refused for what has no replicas to move."""
        view = self._store.tables
        service = find_service(view, request.service)
        name = service.spec.name
        if service.spec.WhichOneof("mode") != "replicated":
            raise Refused(
                f'service "{name}" is not replicated, so its tasks have their places; there is nothing to move'
            )
        if service.spec.task.placement.preferences and demand_of(service.spec).packing:
            raise Refused(f'service "{name}" fills node after node (binpack), so there is nothing to even out')
        now_ms = self._now_ms()
        moves = planned(view, service, now_ms)
        if moves and not request.dry_run:
            changed = Service()
            changed.CopyFrom(service)
            changed.rebalance_at_ms = changed.meta.updated_at_ms = now_ms
            unchanged = revisions.unchanged_since(service)
            await self._store.commit([put(SERVICE, service.meta.id, changed)], expects=[unchanged])
        return RebalanceServiceResponse(moves=moves)


def planned(view: View, service: Service, now_ms: int) -> list[TaskMove]:
    """What would move if it were asked for now. Pure."""
    in_force = effective(view, service)
    numbers = count()
    draft = Draft(
        view=view,
        ledger=Ledger.of(view),
        rolls=Rolls.of(view, [service.meta.id]),
        now_ms=now_ms,
        new_id=lambda: f"none{next(numbers)}",
    )
    moves = planned_moves(draft, in_force, demand_of(in_force.spec, draft.view.networks), most=MOST_MOVES)
    return [
        TaskMove(
            name=f"{service.spec.name}.{move.task.slot}",
            from_hostname=hostname_of(view, move.task.node_id),
            to_hostname=hostname_of(view, move.to.id),
        )
        for move in moves
    ]
