"""While etcd refuses writes no session is recorded: a node that tries to open one is there, and is not lost."""

import asyncio
from collections.abc import Sequence

from manager.dispatcher.liveness.abandoned_nodes import AbandonedNodeMonitor
from manager.store.backend import Compare, Delete, NoSpace, Put, TxnResult
from manager.store.changes import delete, put
from manager.store.kinds import LEADER, MANAGER, NODE
from shoal.api.v1.cluster_pb2 import Leader
from shoal.api.v1.meta_pb2 import Meta
from shoal.api.v1.node_pb2 import Node
from shoal.errors import Unavailable
from shoal.node_states import node_state
from tests.fakes.memory_etcd import MemoryEtcd
from tests.fakes.virtual_time import run_virtual
from tests.unit.dispatcher.test_restarting_agents import StoppingAgents, manager, now_ms

FULL_SECONDS = 60.0
ATTEMPTS_SECONDS = 2.0
NODES = ("n1", "n2")


class EtcdThatFills(MemoryEtcd):
    """Refuses writes while it is full."""

    full = False

    async def txn(self, compares: Sequence[Compare], operations: Sequence[Put | Delete]) -> TxnResult:
        if self.full and any(isinstance(each, Put) for each in operations):
            raise NoSpace("etcd has exceeded its space quota")
        return await super().txn(compares, operations)


async def connect(etcd: EtcdThatFills, agents: StoppingAgents) -> None:
    """Both nodes have had a session, which broke; the first tries to open one as long as etcd is full."""
    await agents.store.commit([put(NODE, name, Node(meta=Meta(id=name))) for name in NODES])
    await asyncio.gather(*map(agents.session, NODES))
    etcd.full = True


async def attempt(etcd: EtcdThatFills, agents: StoppingAgents) -> None:
    """The first node's agent, whose host has another kernel now, so that its status has to be written."""
    until = asyncio.get_running_loop().time() + FULL_SECONDS
    while asyncio.get_running_loop().time() < until:
        try:
            await agents.session("n1", kernel="6.12")
        except Unavailable:
            await asyncio.sleep(ATTEMPTS_SECONDS)
    etcd.full = False
    await asyncio.sleep(1.0)


def test_a_node_that_its_manager_cannot_record_is_not_lost() -> None:
    async def scenario() -> None:
        etcd = EtcdThatFills(clock=asyncio.get_running_loop().time)
        async with manager(etcd) as agents:
            await connect(etcd, agents)
            await attempt(etcd, agents)
            assert [node_state(agents.status(each)) for each in NODES] == ["ready", "down"]

    run_virtual(scenario())


def test_a_node_of_a_lost_manager_that_the_leader_cannot_record_is_not_lost() -> None:
    async def scenario() -> None:
        etcd = EtcdThatFills(clock=asyncio.get_running_loop().time)
        async with manager(etcd) as lost:
            await connect(etcd, lost)
        etcd.full = False
        async with manager(etcd, "m2") as agents:
            fence = await agents.store.commit([put(LEADER, "", Leader(manager_id="m2")), delete(MANAGER, "m1")])
            etcd.full = True
            monitor = AbandonedNodeMonitor(
                store=agents.store, manager_id="m2", now_ms=now_ms, last_attempt=agents.last_attempt
            )
            running = asyncio.create_task(monitor.run(fence))
            await attempt(etcd, agents)
            assert [node_state(agents.status(each)) for each in NODES] == ["ready", "down"]
            running.cancel()

    run_virtual(scenario())
