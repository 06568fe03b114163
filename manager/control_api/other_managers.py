"""Calls to the cluster's other managers, for what only they know: the sessions that they hold."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import grpc

from shoal.api.v1.dispatcher_pb2 import ListAppliedRequest, NodeApplied
from shoal.api.v1.dispatcher_pb2_grpc import ManagerPeersStub
from shoal.identity.identity import Identity
from shoal.rpc.channel import connect_aio
from shoal.rpc.errors import to_error

ANSWER_SECONDS = 2.0


@dataclass(frozen=True)
class ManagerChannels:
    """Over mutual TLS, a connection for each call: they are rare.

    Attributes:
        identity: this manager's, asked at each call, so that a renewed one is used.
    """

    identity: Callable[[], Identity]

    async def applied(self, address: str, node_ids: Sequence[str]) -> Sequence[NodeApplied]:
        """How far those of these nodes are that have their session with the manager at this address.

        Raises:
            ShoalError: it does not answer within 2 s.
        """
        async with connect_aio([address], self.identity()) as channel:
            request = ListAppliedRequest(node_ids=node_ids)
            try:
                response = await ManagerPeersStub(channel).ListApplied(request, timeout=ANSWER_SECONDS)
            except grpc.RpcError as error:
                raise to_error(error, address=address) from error
        return list(response.nodes)
