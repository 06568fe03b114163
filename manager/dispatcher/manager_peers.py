"""Serves other managers: the applied revisions of this manager's nodes, and its recent events."""

from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from contextlib import aclosing

from shoal.api.v1.dispatcher_pb2 import (
    ListAppliedRequest,
    ListAppliedResponse,
    NodeApplied,
    ReadEventsRequest,
    ReadEventsResponse,
)
from shoal.api.v1.dispatcher_pb2_grpc import ManagerPeersServicer
from shoal.api.v1.event_pb2 import Event
from shoal.rpc.caller import Context


class ManagerPeersService(ManagerPeersServicer):
    """Serves managers.

    Args:
        applied: `Dispatcher.applied`.
        events: `EventLog.between`.
    """

    def __init__(
        self,
        *,
        applied: Callable[[Iterable[str]], Sequence[NodeApplied]],
        events: Callable[[int, int], AsyncGenerator[Sequence[Event], None]],
    ) -> None:
        self._applied = applied
        self._events = events

    async def ListApplied(self, request: ListAppliedRequest, context: Context) -> ListAppliedResponse:  # noqa: N802
        return ListAppliedResponse(nodes=self._applied(request.node_ids))

    async def ReadEvents(  # noqa: N802
        self, request: ReadEventsRequest, context: Context
    ) -> AsyncGenerator[ReadEventsResponse]:
        async with aclosing(self._events(request.since_ms, request.until_ms)) as found:
            async for events in found:
                yield ReadEventsResponse(events=events)
