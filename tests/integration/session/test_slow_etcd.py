"""Sessions that end, and nodes that go, while etcd takes its time: the manager goes on."""

import asyncio
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from pathlib import Path

import grpc
import pytest

from manager.dispatcher.sessions.session_openings import MAX_OPENINGS
from manager.store.changes import put
from manager.store.kinds import MANAGER, NODE_STATUS, ROOT
from shoal.api.v1.cluster_pb2 import Manager
from shoal.api.v1.dispatcher_pb2 import AgentMessage, Hello
from shoal.api.v1.dispatcher_pb2_grpc import DispatcherStub
from shoal.api.v1.node_pb2 import NodeStatus
from shoal.errors import Busy
from shoal.identity.roles import CertificateSubject, Role
from shoal.rpc.channel import connect_aio
from shoal.rpc.status_mapping import to_shoal_error
from tests.integration.session.session_rig import CLUSTER, FixedHost, SessionRig, one_manager, put_task, task
from tests.polling import until

NODES = f"{ROOT}{NODE_STATUS.prefix}".encode()


def test_sessions_that_end_while_their_nodes_states_are_written_end_nothing_else(tmp_path: Path) -> None:
    """Two nodes on the host that a manager comes to; both are gone by the time that etcd refuses."""
    rig = SessionRig(tmp_path)

    async def scenario() -> None:
        async with one_manager(rig, "n1", "n2", "n3") as manager:
            async with rig.agent("n1", [manager.address]) as one, rig.agent("n2", [manager.address]) as two:
                await until(lambda: bool(one.messages and two.messages))
                rig.etcd.slow = NODES
                await manager.store.commit([put(MANAGER, "m2", Manager(id="m2", host_address="127.0.0.1"))])
                await until(lambda: rig.etcd.held > 0)
            rig.etcd.away = True
            rig.etcd.release()
            await asyncio.sleep(0)
            rig.etcd.away = False
            async with rig.agent("n3", [manager.address]) as three:
                await until(lambda: bool(three.messages))

    asyncio.run(scenario())


def test_assignments_do_not_wait_for_the_states_of_nodes(tmp_path: Path) -> None:
    rig = SessionRig(tmp_path)

    async def scenario() -> None:
        async with one_manager(rig, "n1") as manager, rig.agent("n1", [manager.address]) as work:
            await until(lambda: bool(work.messages))
            rig.etcd.slow = NODES
            await manager.store.commit([put(MANAGER, "m2", Manager(id="m2", host_address="127.0.0.1"))])
            await until(lambda: rig.etcd.held > 0)
            await put_task(manager, task("t1"))
            await until(lambda: "t1" in work.assigned.tasks)
            rig.etcd.release()
            await until(lambda: manager.store.tables.node_status["n1"].colocated_manager_id == "m2")
            assert manager.store.tables.node_status["n1"].state == NodeStatus.READY

    asyncio.run(scenario())


def test_of_agents_that_connect_at_once_those_beyond_a_bound_are_given_a_time_to_return(tmp_path: Path) -> None:
    rig = SessionRig(tmp_path)
    names = [f"n{number}" for number in range(MAX_OPENINGS + 1)]

    async def scenario() -> None:
        async with one_manager(rig, *names) as manager, AsyncExitStack() as stack:

            async def hello(node_id: str) -> object:
                identity = rig.authority.issue(CertificateSubject(node_id, Role.AGENT, CLUSTER), datetime.now(UTC))
                channel = await stack.enter_async_context(connect_aio([manager.address], identity))
                stream = DispatcherStub(channel).Session()
                await stream.write(AgentMessage(hello=Hello(description=FixedHost(node_id).current())))
                stack.callback(stream.cancel)
                return await stream.read()

            rig.etcd.slow = NODES
            waiting = [asyncio.ensure_future(hello(each)) for each in names]
            answered, others = await asyncio.wait(waiting, timeout=60, return_when=asyncio.FIRST_COMPLETED)
            assert len(answered) == 1, "the others wait for etcd"
            with pytest.raises(grpc.RpcError) as refused:
                answered.pop().result()
            error = to_shoal_error(refused.value)
            assert isinstance(error, Busy) and 0 < error.retry_after_seconds < 1
            rig.etcd.release()
            await asyncio.gather(*others)
            async with rig.agent(names[-1], [manager.address]) as work:
                await until(lambda: bool(work.messages))

    asyncio.run(scenario())
