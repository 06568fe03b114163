"""An engine calls on behalf of its users: over real TLS the manager sees whom, and checks both."""

import dataclasses
from typing import Any

import grpc
import pytest
from grpc import aio

from engine.app import user_for
from engine.server.callers import ApiCaller, local_caller
from manager.control_api.control_handlers import Handlers
from manager.control_api.servicer import ControlService
from shoal.api.v1.certificate_authority_pb2 import RenewRequest
from shoal.api.v1.certificate_authority_pb2_grpc import CertificateAuthorityStub
from shoal.api.v1.control_pb2 import CreateJoinTokenRequest, ListNodesRequest, WatchEventsRequest, WatchEventsResponse
from shoal.api.v1.control_pb2_grpc import ControlStub, add_ControlServicer_to_server
from shoal.errors import InvalidInput, PermissionDenied
from shoal.identity import certificates
from shoal.identity.roles import CertificateSubject, Role
from shoal.manager_calls.acting_user import acting_for
from shoal.manager_calls.managers import Managers
from shoal.manager_calls.replaceable_channel import ReplaceableChannel
from shoal.rpc.caller import Caller
from shoal.rpc.channel import connect_aio
from shoal.rpc.grpc_server import listen, make_server
from shoal.rpc.manager_access import MANAGER_API
from shoal.rpc.on_behalf import ON_BEHALF_KEY, ActingUser, metadata_of
from shoal.rpc.status_mapping import to_shoal_error
from tests.integration.identity.rig import Cluster, run, serving
from tests.integration.manager.test_callers import DEADLINE, Recorder

ADA = ActingUser("ada lovelace é", Role.ADMIN)


class Events(Recorder):
    async def watch(self, _: Any, caller: Caller) -> Any:
        self.callers.append(caller)
        yield WatchEventsResponse()


def _serving(made: Cluster, handler: Any) -> tuple[aio.Server, str]:
    server = make_server(MANAGER_API)
    handlers = Handlers(**{field.name: handler for field in dataclasses.fields(Handlers)})
    add_ControlServicer_to_server(ControlService(handlers), server)
    return server, f"127.0.0.1:{listen(server, '127.0.0.1:0', lambda: made.shown)}"


def test_handlers_see_the_user_and_the_engine() -> None:
    async def scenario(made: Cluster) -> None:
        handler = Events()
        server, address = _serving(made, handler)
        async with serving(server), connect_aio([address], made.identity(Role.ENGINE, "gate")) as channel:
            managers = Managers(ReplaceableChannel(channel))
            with acting_for(ADA):
                await managers.call(managers.control.ListNodes, ListNodesRequest())
                async for _ in managers.stream(managers.control.WatchEvents, WatchEventsRequest()):
                    pass
            with acting_for(None):
                await managers.call(managers.control.ListNodes, ListNodesRequest())
        cluster_id = made.authority.cluster().meta.id
        gate = CertificateSubject("gate", Role.ENGINE, cluster_id)
        user = Caller(ADA.name, Role.ADMIN, cluster_id, "127.0.0.1", gateway=gate)
        assert handler.callers == [user, user, Caller("gate", Role.ENGINE, cluster_id, "127.0.0.1")]
        assert str(user) == "admin ada lovelace é through engine gate at 127.0.0.1"
        assert user.subject == gate

    run(scenario)


@pytest.mark.parametrize("metadata", [metadata_of(ADA), ()])
def test_no_user_lets_an_engine_do_what_engines_may_not(metadata: tuple[tuple[str, str], ...]) -> None:
    async def scenario(made: Cluster) -> None:
        async with connect_aio([made.api], made.identity(Role.ENGINE, "gate")) as channel:
            with pytest.raises(grpc.RpcError) as denied:
                stub: Any = ControlStub(channel)
                await stub.CreateJoinToken(CreateJoinTokenRequest(), timeout=DEADLINE, metadata=metadata)
            error = to_shoal_error(denied.value)
            assert isinstance(error, PermissionDenied)
            assert "gate" in str(error) and "required role: admin" in str(error)

    run(scenario)


@pytest.mark.parametrize("role", [Role.ADMIN, Role.AGENT, Role.MANAGER])
def test_only_engines_act_for_others(role: Role) -> None:
    async def scenario(made: Cluster) -> None:
        async with connect_aio([made.api], made.identity(role, "mallory")) as channel:
            stub: Any = ControlStub(channel)
            with pytest.raises(grpc.RpcError) as denied:
                await stub.ListNodes(ListNodesRequest(), timeout=DEADLINE, metadata=metadata_of(ADA))
            assert isinstance(to_shoal_error(denied.value), PermissionDenied)

    run(scenario)


def test_an_engine_cannot_pose_as_a_manager() -> None:
    async def scenario(made: Cluster) -> None:
        async with connect_aio([made.api], made.identity(Role.ENGINE, "gate")) as channel:
            stub: Any = ControlStub(channel)
            with pytest.raises(grpc.RpcError) as denied:
                await stub.ListNodes(ListNodesRequest(), timeout=DEADLINE, metadata=((ON_BEHALF_KEY, "manager m1"),))
            assert isinstance(to_shoal_error(denied.value), InvalidInput)

    run(scenario)


def test_an_engine_renews_its_own_certificate_whomever_it_names() -> None:
    async def scenario(made: Cluster) -> None:
        identity = made.identity(Role.ENGINE, "gate")
        async with connect_aio([made.api], identity) as channel:
            stub: Any = CertificateAuthorityStub(channel)
            request = RenewRequest(csr=certificates.request(identity.key))
            answer = await stub.Renew(request, timeout=DEADLINE, metadata=metadata_of(ADA))
        subject = certificates.subject_of(answer.certificate)
        assert (subject.id, subject.role) == ("gate", Role.ENGINE)

    run(scenario)


def test_an_engine_names_users_of_tcp_and_an_admins_context_names_nobody() -> None:
    over_tcp = ApiCaller("ada", Role.ADMIN, is_local=False)
    assert user_for(over_tcp, Role.ENGINE) == ActingUser("ada", Role.ADMIN)
    assert user_for(over_tcp, Role.ADMIN) is None
    assert user_for(local_caller(Role.ENGINE), Role.ENGINE) is None
