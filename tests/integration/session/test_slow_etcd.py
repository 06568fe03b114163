"""Sessions that end, and nodes that go, while etcd takes its time: the manager goes on."""

import asyncio
from pathlib import Path

from manager.store.changes import put
from manager.store.kinds import MANAGER, NODE_STATUS, ROOT
from shoal.api.v1.cluster_pb2 import Manager
from shoal.api.v1.node_pb2 import NodeStatus
from tests.integration.session.session_rig import SessionRig, one_manager, put_task, task, until

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
            rig.etcd.let_go()
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
            rig.etcd.let_go()
            await until(lambda: manager.store.tables.node_status["n1"].beside_manager == "m2")
            assert manager.store.tables.node_status["n1"].state == NodeStatus.READY

    asyncio.run(scenario())
