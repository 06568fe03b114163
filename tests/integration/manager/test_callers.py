"""The caller reaches the handlers: over real TLS, each sees who calls and from where."""

import dataclasses
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest

from manager.control_api.control_handlers import Handlers
from manager.control_api.servicer import ControlService
from shoal.api.v1.control_pb2 import (
    ListNodesRequest,
    ListNodesResponse,
    ServicesProgress,
    WatchServicesRequest,
)
from shoal.api.v1.control_pb2_grpc import ControlStub, add_ControlServicer_to_server
from shoal.errors import PermissionDenied
from shoal.identity.roles import Role
from shoal.rpc.caller import Caller
from shoal.rpc.channel import connect_aio
from shoal.rpc.grpc_server import listen, make_server
from shoal.rpc.manager_access import MANAGER_API
from shoal.rpc.status_mapping import to_shoal_error
from tests.integration.identity.rig import Cluster, run, serving

DEADLINE = 60.0


class Recorder:
    """A handler of any kind of object, which keeps its callers."""

    def __init__(self) -> None:
        self.callers: list[Caller] = []

    async def list(self, _: ListNodesRequest, caller: Caller) -> ListNodesResponse:
        self.callers.append(caller)
        return ListNodesResponse()

    async def watch(self, _: WatchServicesRequest, caller: Caller) -> AsyncIterator[ServicesProgress]:
        self.callers.append(caller)
        yield ServicesProgress(done=True)


def test_handlers_see_name_role_cluster_and_address_of_the_certificate() -> None:
    async def scenario(made: Cluster) -> None:
        handler: Any = Recorder()
        server = make_server(MANAGER_API)
        handlers = Handlers(**{field.name: handler for field in dataclasses.fields(Handlers)})
        add_ControlServicer_to_server(ControlService(handlers), server)
        address = f"127.0.0.1:{listen(server, '127.0.0.1:0', lambda: made.shown)}"
        async with serving(server):
            async with connect_aio([address], made.identity(Role.ADMIN, "alice")) as channel:
                await ControlStub(channel).ListNodes(ListNodesRequest(), timeout=DEADLINE)
            async with connect_aio([address], made.identity(Role.ADMIN, "bob")) as channel:
                async for _ in ControlStub(channel).WatchServices(WatchServicesRequest(), timeout=DEADLINE):
                    pass
            async with connect_aio([address], made.identity(Role.AGENT, "node1")) as channel:
                with pytest.raises(grpc.RpcError) as denied:
                    await ControlStub(channel).ListNodes(ListNodesRequest(), timeout=DEADLINE)
        assert isinstance(to_shoal_error(denied.value), PermissionDenied)
        cluster_id = made.authority.cluster().meta.id
        assert handler.callers == [Caller(name, Role.ADMIN, cluster_id, "127.0.0.1") for name in ("alice", "bob")], (
            "the agent's call reached no handler"
        )
        assert str(handler.callers[0]) == "admin alice at 127.0.0.1"

    run(scenario)
