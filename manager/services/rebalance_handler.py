"""Rebalancing on request: what would move, and the request to the planner."""

from manager.interfaces import NowMs
from manager.planner.rebalance_preview import preview
from manager.planner.spec.requirements import requirements_of
from manager.records.object_lookup import find_service, hostname_of
from manager.services import service_revisions
from manager.store.changes import put
from manager.store.kinds import SERVICE
from manager.store.record_store import RecordStore
from manager.store.tables import View
from shoal.api.v1.control_pb2 import RebalanceServiceRequest, RebalanceServiceResponse, TaskMove
from shoal.api.v1.service_pb2 import Service
from shoal.errors import Refused
from shoal.rpc.caller import Caller

MAX_MOVES = 1_000


class RebalanceHandler:
    """The rebalance call. The planner makes the moves, a few at a time."""

    def __init__(self, *, store: RecordStore, now_ms: NowMs) -> None:
        self._store = store
        self._now_ms = now_ms

    async def rebalance(self, request: RebalanceServiceRequest, caller: Caller) -> RebalanceServiceResponse:
        """Raises Refused for services without replicas to move."""
        view = self._store.tables
        service = find_service(view, request.service)
        name = service.spec.name
        if service.spec.WhichOneof("mode") != "replicated":
            raise Refused(f'service "{name}" is not replicated; only replicated services can be rebalanced')
        if service.spec.task.placement.preferences and requirements_of(service.spec).binpack:
            raise Refused(f'service "{name}" uses the binpack strategy and cannot be rebalanced')
        now_ms = self._now_ms()
        moves = planned(view, service, now_ms)
        if moves and not request.dry_run:
            changed = Service()
            changed.CopyFrom(service)
            changed.rebalance_requested_at_ms = changed.meta.updated_at_ms = now_ms
            unchanged = service_revisions.unchanged_since(service)
            await self._store.commit([put(SERVICE, service.meta.id, changed)], expects=[unchanged])
        return RebalanceServiceResponse(moves=moves)


def planned(view: View, service: Service, now_ms: int) -> list[TaskMove]:
    """Tasks that would move if it were requested now. Pure."""
    moves = preview(view, service, now_ms=now_ms, limit=MAX_MOVES)
    return [
        TaskMove(
            name=f"{service.spec.name}.{move.task.slot}",
            from_hostname=hostname_of(view, move.task.node_id),
            to_hostname=hostname_of(view, move.to.id),
        )
        for move in moves
    ]
