"""Who gets through, over real TLS: each role at each kind of method, strangers, expired ones, wrong server names."""

import asyncio
import logging
from collections.abc import AsyncIterator

import grpc
import pytest
from grpc import aio

from manager.certificate_authority.ca_service import MAX_JOIN_BYTES
from shoal.api.v1.certificate_authority_pb2 import GetRootRequest, JoinRequest, RenewRequest
from shoal.api.v1.certificate_authority_pb2_grpc import CertificateAuthorityStub
from shoal.api.v1.control_pb2 import (
    CreateServiceRequest,
    GetClusterRequest,
    GetNodeRequest,
    ListNodesRequest,
    ListServicesRequest,
    WatchServicesRequest,
)
from shoal.api.v1.control_pb2_grpc import ControlStub
from shoal.api.v1.dispatcher_pb2 import AgentMessage, Heartbeat
from shoal.api.v1.dispatcher_pb2_grpc import DispatcherStub
from shoal.api.v1.streams_pb2 import LogBatch, LogChunk, ReadLogsRequest
from shoal.api.v1.streams_pb2_grpc import AgentStreamsStub
from shoal.errors import Exhausted, InvalidInput, NotFound, PermissionDenied, ShoalError, Unauthenticated, Unavailable
from shoal.identity import certificates
from shoal.identity.identity import Identity
from shoal.identity.roles import AGENT_SERVER_NAME, MANAGER_SERVER_NAME, Role, agent_server_name
from shoal.rpc.channel import MAX_MESSAGE_BYTES, connect, connect_aio, connect_without_identity
from shoal.rpc.grpc_server import listen, make_server
from shoal.rpc.status_mapping import to_shoal_error
from tests.integration.identity.rig import Cluster, agent, foreign_authority, plain_listener, run, stranger

DEADLINE = 60.0


async def _control(channel: aio.Channel) -> None:
    await ControlStub(channel).ListNodes(ListNodesRequest(), timeout=DEADLINE)


async def _control_stream(channel: aio.Channel) -> None:
    async for _ in ControlStub(channel).WatchServices(WatchServicesRequest(), timeout=DEADLINE):
        pass


async def _session(channel: aio.Channel) -> None:
    async def hello() -> AsyncIterator[AgentMessage]:
        yield AgentMessage(heartbeat=Heartbeat())

    answers = [answer async for answer in DispatcherStub(channel).Session(hello(), timeout=DEADLINE)]
    assert [each.id for each in answers[0].welcome.managers.managers] == ["party"]


async def _renew(channel: aio.Channel) -> None:
    request = RenewRequest(csr=certificates.request(certificates.new_key()))
    await CertificateAuthorityStub(channel).Renew(request, timeout=DEADLINE)


async def _root(channel: aio.Channel) -> None:
    await CertificateAuthorityStub(channel).GetRoot(GetRootRequest(), timeout=DEADLINE)


async def _join_on_the_api_port(channel: aio.Channel) -> None:
    await CertificateAuthorityStub(channel).Join(JoinRequest(), timeout=DEADLINE)


async def _logs(channel: aio.Channel) -> None:
    async for _ in AgentStreamsStub(channel).ReadLogs(ReadLogsRequest(), timeout=DEADLINE):
        pass


async def _outcome(channel: aio.Channel, call: object) -> ShoalError | None:
    async with channel:
        for _ in range(10):
            try:
                await call(channel)  # type: ignore[operator]
            except aio.AioRpcError as error:
                # gRPC's client can lose the status of a stream that ends before it has begun to read it.
                if error.details() != "Internal error from Core":
                    return to_shoal_error(error, address="h:1")
                continue
            return None
    raise AssertionError("no call had a status")


@pytest.mark.parametrize("role", list(Role))
def test_each_role_at_each_kind_of_method(role: Role) -> None:
    async def scenario(made: Cluster) -> None:
        allowed = {
            _control: {Role.ADMIN, Role.ENGINE, Role.CONSOLE},
            _control_stream: {Role.ADMIN},
            _session: {Role.AGENT},
            _root: set(Role),
            _join_on_the_api_port: set(),
        }
        identity = made.identity(role)
        for call, roles in allowed.items():
            error = await _outcome(connect_aio([made.api], identity), call)
            if role in roles:
                assert error is None, call
            else:
                assert isinstance(error, PermissionDenied), call

    run(scenario)


def test_batches_arrive_built_or_encoded() -> None:
    async def scenario(made: Cluster) -> None:
        served, manager = made.identity(Role.AGENT), made.identity(Role.MANAGER)
        async with (
            agent(lambda: served) as address,
            connect_aio([address], manager, server_name=AGENT_SERVER_NAME) as channel,
        ):
            batches = [batch async for batch in AgentStreamsStub(channel).ReadLogs(ReadLogsRequest(), timeout=DEADLINE)]
        chunk = LogChunk(task_id="t", lines=b"line\n", lines_lost=True)
        assert batches == [LogBatch(), LogBatch(chunks=[chunk])]

    run(scenario)


@pytest.mark.parametrize("role", list(Role))
def test_only_managers_read_an_agents_streams(role: Role) -> None:
    async def scenario(made: Cluster) -> None:
        served = made.identity(Role.AGENT, "node1")
        async with agent(lambda: served) as address:
            channel = connect_aio([address], made.identity(role), server_name=agent_server_name("node1"))
            error = await _outcome(channel, _logs)
        assert (error is None) if role is Role.MANAGER else isinstance(error, PermissionDenied)

    run(scenario)


def test_an_agent_is_not_taken_for_another_nor_for_a_manager() -> None:
    async def scenario(made: Cluster) -> None:
        served, manager = made.identity(Role.AGENT, "node1"), made.identity(Role.MANAGER)
        async with agent(lambda: served) as address:
            assert await _outcome(connect_aio([address], manager, server_name=AGENT_SERVER_NAME), _logs) is None
            for name in (agent_server_name("node2"), MANAGER_SERVER_NAME):
                error = await _outcome(connect_aio([address], manager, server_name=name), _logs)
                assert isinstance(error, Unauthenticated)

    run(scenario)


@pytest.mark.parametrize("role", list(Role))
def test_a_certificate_of_another_cluster_is_refused(role: Role) -> None:
    async def scenario(made: Cluster) -> None:
        foreign = stranger(role, believes=made.authority.cluster().ca_certificate)
        error = await _outcome(connect_aio([made.api], foreign), _control)
        assert isinstance(error, Unavailable)
        assert "expired or belongs to another cluster" in str(error)

    run(scenario)


def test_a_server_of_another_cluster_is_refused() -> None:
    async def scenario(made: Cluster) -> None:
        ours = made.identity(Role.ADMIN)
        elsewhere = Identity(certificate=ours.certificate, key=ours.key, ca=foreign_authority().certificate)
        error = await _outcome(connect_aio([made.api], elsewhere), _control)
        assert isinstance(error, Unauthenticated)
        assert "certificate that has expired or belongs to another cluster" in str(error)

    run(scenario)


def test_no_certificate_is_refused() -> None:
    async def scenario(made: Cluster) -> None:
        root = made.authority.cluster().ca_certificate
        assert isinstance(await _outcome(connect_without_identity(made.api, root), _control), Unavailable)
        # On the join port TLS lets everybody in: the table must not.
        assert isinstance(await _outcome(connect_without_identity(made.joining, root), _renew), PermissionDenied)

    run(scenario)


@pytest.mark.parametrize("role", list(Role))
def test_an_expired_certificate_is_refused(role: Role) -> None:
    async def scenario(made: Cluster) -> None:
        error = await _outcome(connect_aio([made.api], made.expired(role)), _control)
        assert isinstance(error, Unavailable)
        assert "expired or belongs to another cluster" in str(error)

    run(scenario)


def test_an_expired_server_is_refused_and_a_renewed_one_is_believed_without_a_restart() -> None:
    async def scenario(made: Cluster) -> None:
        admin, good = made.identity(Role.ADMIN), made.shown
        made.shown = made.expired(Role.MANAGER)
        error = await _outcome(connect_aio([made.api], admin), _control)
        assert isinstance(error, Unauthenticated)
        made.shown = good
        assert await _outcome(connect_aio([made.api], admin), _control) is None

    run(scenario)


def test_errors_arrive_whole_and_inner_texts_do_not(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario(made: Cluster) -> None:
        async with connect_aio([made.api], made.identity(Role.ADMIN)) as channel:
            stub = ControlStub(channel)
            with pytest.raises(grpc.RpcError) as missing:
                await stub.GetNode(GetNodeRequest(node="h9"), timeout=DEADLINE)
            with pytest.raises(grpc.RpcError) as faulty:
                await stub.CreateService(CreateServiceRequest(), timeout=DEADLINE)
            with caplog.at_level(logging.CRITICAL), pytest.raises(grpc.RpcError) as inner:
                await stub.GetCluster(GetClusterRequest(), timeout=DEADLINE)
            with pytest.raises(grpc.RpcError) as streamed:
                async for _ in stub.WatchServices(WatchServicesRequest(until_removed=True), timeout=DEADLINE):
                    pass
            with pytest.raises(grpc.RpcError) as unserved:
                await stub.ListServices(ListServicesRequest(), timeout=DEADLINE)
        assert str(to_shoal_error(missing.value)) == "no node 'h9'"
        assert isinstance(to_shoal_error(streamed.value), NotFound)
        refusal = to_shoal_error(faulty.value)
        assert isinstance(refusal, InvalidInput)
        assert len(refusal.faults) == 150
        for error in (inner.value, unserved.value):
            assert isinstance(to_shoal_error(error), Unavailable)
            assert "inner workings" not in str(error)

    run(scenario)


def test_blocking_calls_get_the_same_answers() -> None:
    async def scenario(made: Cluster) -> None:
        admin = made.identity(Role.ADMIN)

        def calls() -> None:
            with connect([made.api], admin) as channel:
                ControlStub(channel).ListNodes(ListNodesRequest(), timeout=DEADLINE)
                with pytest.raises(grpc.RpcError) as faulty:
                    ControlStub(channel).CreateService(CreateServiceRequest(), timeout=DEADLINE)
            refusal = to_shoal_error(faulty.value)
            assert isinstance(refusal, InvalidInput)
            assert len(refusal.faults) == 150
            with connect([made.api], made.identity(Role.AGENT)) as channel, pytest.raises(grpc.RpcError) as denied:
                ControlStub(channel).ListNodes(ListNodesRequest(), timeout=DEADLINE)
            assert isinstance(to_shoal_error(denied.value), PermissionDenied)

        await asyncio.to_thread(calls)

    run(scenario)


def test_of_several_addresses_one_that_answers_is_enough() -> None:
    async def scenario(made: Cluster) -> None:
        port = made.api.rpartition(":")[2]
        for addresses in (["127.0.0.1:1", made.api], ["[::1]:1", made.api], [f"localhost:{port}"]):
            assert await _outcome(connect_aio(addresses, made.identity(Role.ADMIN)), _control) is None

    run(scenario)


def test_what_does_not_listen_or_is_not_shoal_is_reported() -> None:
    async def scenario(made: Cluster) -> None:
        admin = made.identity(Role.ADMIN)
        refused = await _outcome(connect_aio(["127.0.0.1:1"], admin), _control)
        assert "refused the connection" in str(refused)
        async with plain_listener(b"HTTP/1.1 400 Bad Request\r\n\r\n") as address:
            assert "does not speak gRPC" in str(await _outcome(connect_aio([address], admin), _control))

    run(scenario)


def test_a_method_whose_caller_goes_away_is_cancelled() -> None:
    async def scenario(made: Cluster) -> None:
        async with connect_aio([made.api], made.identity(Role.ADMIN)) as channel:
            answers = ControlStub(channel).WatchServices(WatchServicesRequest(services=["web"]), timeout=DEADLINE)
            await anext(aiter(answers))
            answers.cancel()
            async with asyncio.timeout(DEADLINE):
                await made.control.left.wait()

    run(scenario)


def test_a_message_beyond_the_bound_is_refused() -> None:
    async def scenario(made: Cluster) -> None:
        async with connect_aio([made.api], made.identity(Role.ADMIN)) as channel:
            request = GetNodeRequest(node="x" * (MAX_MESSAGE_BYTES + 1))
            with pytest.raises(grpc.RpcError) as refused:
                await ControlStub(channel).GetNode(request, timeout=DEADLINE)
            assert isinstance(to_shoal_error(refused.value), Exhausted)
        root = made.authority.cluster().ca_certificate
        async with connect_without_identity(made.joining, root) as channel:
            with pytest.raises(grpc.RpcError) as refused:
                await CertificateAuthorityStub(channel).Join(
                    JoinRequest(csr=bytes(MAX_JOIN_BYTES + 1)), timeout=DEADLINE
                )
            assert isinstance(to_shoal_error(refused.value), Exhausted)

    run(scenario)


def test_a_port_that_is_taken_is_reported() -> None:
    async def scenario(made: Cluster) -> None:
        with pytest.raises(Unavailable, match="cannot listen on"):
            listen(make_server({}), made.api, lambda: made.shown)

    run(scenario)
