"""What other managers may ask of this one: the sessions that it holds."""

from collections.abc import Callable, Iterable, Sequence

from shoal.api.v1.dispatcher_pb2 import ListAppliedRequest, ListAppliedResponse, NodeApplied
from shoal.api.v1.dispatcher_pb2_grpc import ManagerPeersServicer
from shoal.rpc.guard import Context


class PeerService(ManagerPeersServicer):
    """Serves managers.

    Args:
        applied: `Dispatcher.applied`.
    """

    def __init__(self, *, applied: Callable[[Iterable[str]], Sequence[NodeApplied]]) -> None:
        self._applied = applied

    async def ListApplied(self, request: ListAppliedRequest, context: Context) -> ListAppliedResponse:  # noqa: N802
        return ListAppliedResponse(nodes=self._applied(request.node_ids))
