"""Records of nodes: those that are due together are one transaction, and one that cannot be written harms no other."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from manager.dispatcher.statuses.node_status_updates import NodeReport, NodeStatusUpdates
from manager.store.changes import put
from manager.store.kinds import LEADER, NODE
from manager.store.store import Store
from shoal.api.v1.cluster_pb2 import Leader
from shoal.api.v1.meta_pb2 import Meta
from shoal.api.v1.node_pb2 import NetworkCondition, Node, NodeDescription, NodeStatus
from shoal.errors import Conflict, LeadershipLost, Unavailable
from tests.fakes.loaded_store import loaded_store
from tests.fakes.memory_etcd import MemoryEtcd
from tests.fakes.virtual_time import run_virtual

NODES = [f"n{number:04}" for number in range(3000)]
REPORT = NodeReport(NodeDescription(hostname="h", address="192.0.2.1"))

Scenario = Callable[[MemoryEtcd, Store], Awaitable[None]]


def with_nodes(scenario: Scenario, nodes: list[str]) -> None:
    async def run() -> None:
        etcd = MemoryEtcd()
        async with loaded_store(etcd) as store:
            await store.commit_in_batches([put(NODE, each, Node(meta=Meta(id=each))) for each in nodes])
            await scenario(etcd, store)

    run_virtual(run())


def records(store: Store, fence: int | None = None) -> NodeStatusUpdates:
    return NodeStatusUpdates(store=store, manager_id="m1", now_ms=lambda: 7, fence=fence)


def test_three_thousand_nodes_are_a_handful_of_transactions() -> None:
    async def scenario(etcd: MemoryEtcd, store: Store) -> None:
        writer, before = records(store), etcd.transactions
        await asyncio.gather(*(writer.mark_ready(each, REPORT) for each in NODES))
        assert all(store.tables.node_status[each].state == NodeStatus.READY for each in NODES)
        assert etcd.transactions - before <= 2 + len(NODES) // 400

    with_nodes(scenario, NODES)


def test_what_cannot_be_written_harms_no_other() -> None:
    async def scenario(etcd: MemoryEtcd, store: Store) -> None:
        writer, before = records(store), etcd.transactions
        asked = [*NODES[:200], "removed", *NODES[200:400]]
        outcomes = await asyncio.gather(*(writer.mark_ready(each, REPORT) for each in asked), return_exceptions=True)
        assert [type(each) for each in outcomes if each is not None] == [Conflict]
        assert set(store.tables.node_status) == set(NODES[:400])
        assert etcd.transactions - before < 30, "halves, and not one each"

    with_nodes(scenario, NODES[:400])


def test_each_is_decided_from_the_record_before_it_and_nothing_is_written_twice() -> None:
    async def scenario(etcd: MemoryEtcd, store: Store) -> None:
        writer = records(store)
        condition = NetworkCondition(problems=["no route"])
        await asyncio.gather(
            writer.mark_ready("n0000", REPORT),
            writer.set_condition("n0000", condition),
            writer.mark_down("n0000", "m1", "lost"),
        )
        status = store.tables.node_status["n0000"]
        assert (status.state, status.message, list(status.network_condition.problems)) == (
            NodeStatus.DOWN,
            "lost",
            ["no route"],
        )
        before = etcd.transactions
        assert not await writer.mark_down("n0000", "m1", "lost") and not await writer.mark_unknown(
            "n0000", "m1", "lost"
        )
        assert etcd.transactions == before

    with_nodes(scenario, NODES[:1])


def test_who_does_not_wait_any_more_keeps_nobody_waiting() -> None:
    async def scenario(etcd: MemoryEtcd, store: Store) -> None:
        writer = records(store)
        etcd.slow = b"/shoal/v1/"
        first, second, third = (asyncio.create_task(writer.mark_ready(each, REPORT)) for each in NODES[:3])
        await asyncio.sleep(0)
        while not etcd.held:  # noqa: ASYNC110  # the fake has no event for it
            await asyncio.sleep(0.01)
        first.cancel()
        second.cancel()
        etcd.release()
        await third
        assert NODES[2] in store.tables.node_status
        outcomes = await asyncio.gather(first, second, return_exceptions=True)
        assert all(isinstance(each, asyncio.CancelledError) for each in outcomes)

    with_nodes(scenario, NODES[:3])


def test_everybody_is_told_when_etcd_is_away_or_the_term_is_over() -> None:
    async def scenario(etcd: MemoryEtcd, store: Store) -> None:
        writer = records(store)
        await writer.mark_ready(NODES[0], REPORT)
        etcd.away = True
        outcomes = await asyncio.gather(
            *(writer.mark_ready(each, REPORT) for each in NODES[1:5]), return_exceptions=True
        )
        assert [type(each) for each in outcomes] == [Unavailable] * 4
        etcd.away = False
        fence = await store.commit([put(LEADER, "", Leader(manager_id="m1"))])
        assert await records(store, fence).mark_unknown(NODES[0], "m1", "many")
        with pytest.raises(LeadershipLost):
            await records(store, fence - 1).mark_down(NODES[0], "m1", "lost")

    with_nodes(scenario, NODES[:5])


def test_who_leaves_while_others_write_for_it_leaves_quietly() -> None:
    async def scenario(etcd: MemoryEtcd, store: Store) -> None:
        writer = records(store)
        etcd.slow = b"/shoal/v1/"
        first = asyncio.create_task(writer.mark_ready(NODES[0], REPORT))
        await asyncio.sleep(1.0)
        etcd.slow = b""  # the first is under way; the second writes for the third
        second, third = (asyncio.create_task(writer.mark_ready(each, REPORT)) for each in NODES[1:3])
        await asyncio.sleep(1.0)
        etcd.slow = b"/shoal/v1/"
        first.cancel()
        await asyncio.sleep(1.0)
        third.cancel()
        outcome = await asyncio.gather(third, return_exceptions=True)
        assert isinstance(outcome[0], asyncio.CancelledError)
        etcd.release()
        await second
        assert NODES[1] in store.tables.node_status

    with_nodes(scenario, NODES[:3])
