"""Certificates of managers that were removed are refused, though they are still valid."""

import asyncio
from datetime import UTC, datetime

import grpc
import pytest

from shoal.api.v1.dispatcher_pb2 import (
    GetMembershipRequest,
    GetMembershipResponse,
    ListAppliedRequest,
    ListAppliedResponse,
)
from shoal.api.v1.dispatcher_pb2_grpc import (
    ManagerPeersServicer,
    ManagerPeersStub,
    add_ManagerPeersServicer_to_server,
)
from shoal.identity.authority import Authority
from shoal.identity.roles import CertificateSubject, Role
from shoal.rpc.caller import Context
from shoal.rpc.channel import connect_aio
from shoal.rpc.grpc_server import listen, make_server
from shoal.rpc.manager_access import FOR_REMOVED_MANAGERS, MANAGER_API
from shoal.rpc.removed_managers import RemovedManagers

CLUSTER = "c"
DEADLINE = 60.0


class Peers(ManagerPeersServicer):
    """Answers everybody who is admitted."""

    async def ListApplied(self, request: ListAppliedRequest, context: Context) -> ListAppliedResponse:  # noqa: N802
        return ListAppliedResponse()

    async def GetMembership(  # noqa: N802
        self, request: GetMembershipRequest, context: Context
    ) -> GetMembershipResponse:
        return GetMembershipResponse(removed=True)


def test_a_removed_manager_may_only_ask_whether_it_is_one() -> None:
    async def scenario() -> None:
        now = datetime.now(UTC)
        authority = Authority.create(CLUSTER, now)
        identity = {
            name: authority.issue(CertificateSubject(name, Role.MANAGER, CLUSTER), now) for name in ("m1", "m2", "m3")
        }
        removed: set[str] = set()
        server = make_server(MANAGER_API, removed=RemovedManagers(lambda: removed, FOR_REMOVED_MANAGERS))
        add_ManagerPeersServicer_to_server(Peers(), server)  # type: ignore[abstract]
        address = f"127.0.0.1:{listen(server, '127.0.0.1:0', lambda: identity['m1'])}"
        await server.start()
        async with connect_aio([address], identity["m2"]) as second, connect_aio([address], identity["m3"]) as third:
            peers = ManagerPeersStub(second)
            await peers.ListApplied(ListAppliedRequest(), timeout=DEADLINE)
            removed.add("m2")  # on the connection that it has already
            with pytest.raises(grpc.aio.AioRpcError, match="manager m2 was removed from the cluster") as caught:
                await peers.ListApplied(ListAppliedRequest(), timeout=DEADLINE)
            assert caught.value.code() is grpc.StatusCode.PERMISSION_DENIED
            assert (await peers.GetMembership(GetMembershipRequest(manager_id="m2"), timeout=DEADLINE)).removed
            await ManagerPeersStub(third).ListApplied(ListAppliedRequest(), timeout=DEADLINE)
        await server.stop(None)

    asyncio.run(scenario())
