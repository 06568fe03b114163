"""While etcd refuses writes no session is recorded: a node that tries to open one is there, and is not lost, whichever
manager it tries.
"""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from manager.dispatcher.liveness.abandoned_nodes import AbandonedNodeMonitor
from manager.dispatcher.liveness.heartbeats import reconnect_seconds
from manager.dispatcher.liveness.session_attempts import MAX_ATTEMPTS, SessionAttempts, report_to_nobody
from manager.store.backend import Compare, Delete, NoSpace, Put, TxnResult
from manager.store.changes import delete, put
from manager.store.kinds import LEADER, MANAGER, NODE
from shoal.api.v1.cluster_pb2 import Leader, Manager
from shoal.api.v1.dispatcher_pb2 import SessionAttempt
from shoal.api.v1.meta_pb2 import Meta
from shoal.api.v1.node_pb2 import Node
from shoal.errors import Unavailable
from shoal.node_states import node_state
from tests.fakes.memory_etcd import MemoryEtcd
from tests.fakes.virtual_time import run_virtual
from tests.polling import until
from tests.unit.dispatcher.dispatcher_world import World
from tests.unit.dispatcher.test_restarting_agents import StoppingAgents, manager, now_ms

FULL_SECONDS = 60.0
ATTEMPTS_SECONDS = 2.0
NODES = ("n1", "n2")


class EtcdThatFills(MemoryEtcd):
    """Refuses writes while it is full."""

    full = False
    silent = False
    """It answers no writes while it is full."""

    async def txn(self, compares: Sequence[Compare], operations: Sequence[Put | Delete]) -> TxnResult:
        if self.full and any(isinstance(each, Put) for each in operations):
            if not self.silent:
                raise NoSpace("etcd has exceeded its space quota")
            await until(lambda: not self.full, seconds=2 * FULL_SECONDS)
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
            async with asyncio.timeout(ATTEMPTS_SECONDS):
                await agents.session("n1", kernel="6.12")
        except (Unavailable, TimeoutError):
            await asyncio.sleep(ATTEMPTS_SECONDS)
    etcd.full = False
    await asyncio.sleep(1.0)


@pytest.mark.parametrize("silent", [False, True], ids=["refused", "unanswered"])
def test_a_node_that_its_manager_cannot_record_is_not_lost(silent: bool) -> None:
    async def scenario() -> None:
        etcd = EtcdThatFills(clock=asyncio.get_running_loop().time)
        etcd.silent = silent
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
                store=agents.store, manager_id="m2", now_ms=now_ms, next_attempt=agents.attempts.next_attempt
            )
            running = asyncio.create_task(monitor.run(fence))
            await attempt(etcd, agents)
            assert [node_state(agents.status(each)) for each in NODES] == ["ready", "down"]
            running.cancel()

    run_virtual(scenario())


class Calls:
    """What managers report to each other."""

    def __init__(self) -> None:
        self.managers: dict[str, StoppingAgents] = {}
        self.unreachable: set[str] = set()

    async def report(self, address: str, attempts: Sequence[SessionAttempt]) -> None:
        if address in self.unreachable:
            raise Unavailable("connection refused")
        self.managers[address].attempts.failed_elsewhere(attempts)


@asynccontextmanager
async def managers(etcd: EtcdThatFills, *names: str) -> AsyncGenerator[Calls]:
    """Managers that report to each other."""
    calls = Calls()
    async with AsyncExitStack() as stack:
        for name in names:
            running = manager(etcd, name, report_attempts=calls.report)
            calls.managers[name] = await stack.enter_async_context(running)
        yield calls


def test_the_leader_does_not_lose_a_node_of_a_lost_manager_that_tries_a_follower() -> None:
    async def scenario() -> None:
        etcd = EtcdThatFills(clock=asyncio.get_running_loop().time)
        async with manager(etcd) as lost:
            await connect(etcd, lost)
        etcd.full = False
        async with managers(etcd, "m2", "m3") as calls:
            leader, follower = calls.managers["m2"], calls.managers["m3"]
            fence = await leader.store.commit([put(LEADER, "", Leader(manager_id="m2")), delete(MANAGER, "m1")])
            etcd.full = True
            monitor = AbandonedNodeMonitor(
                store=leader.store, manager_id="m2", now_ms=now_ms, next_attempt=leader.attempts.next_attempt
            )
            running = asyncio.create_task(monitor.run(fence))
            await attempt(etcd, follower)
            assert [node_state(leader.status(each)) for each in NODES] == ["ready", "down"]
            running.cancel()

    run_virtual(scenario())


def test_the_manager_that_had_the_session_does_not_lose_a_node_that_tries_another_one() -> None:
    async def scenario() -> None:
        etcd = EtcdThatFills(clock=asyncio.get_running_loop().time)
        async with managers(etcd, "m1", "m2", "m3") as calls:
            calls.unreachable.add("m3")
            await connect(etcd, calls.managers["m1"])
            await attempt(etcd, calls.managers["m2"])
            assert [node_state(calls.managers["m1"].status(each)) for each in NODES] == ["ready", "down"]

    run_virtual(scenario())


def test_each_node_is_reported_once_at_a_time_and_a_report_is_bounded() -> None:
    async def scenario() -> None:
        reports: list[tuple[str, list[SessionAttempt]]] = []

        async def report(address: str, attempts: Sequence[SessionAttempt]) -> None:
            reports.append((address, list(attempts)))

        world = World()
        for name in ("m1", "m2"):
            world.put(MANAGER, name, Manager(id=name, api_address=name))
        attempts = SessionAttempts(
            view=world.tables, manager_id="m1", report=report, expect=lambda *_: None, interval_seconds=1.0
        )
        names = [f"n{number}" for number in range(MAX_ATTEMPTS + 2)]
        for node_id in (*names, *names):
            attempts.failed(node_id)
        await asyncio.sleep(0.5)
        running = asyncio.create_task(attempts.run())
        await asyncio.sleep(10.0)
        assert reports == [
            ("m2", [SessionAttempt(node_id=each, age_ms=500) for each in names[:MAX_ATTEMPTS]]),
            ("m2", [SessionAttempt(node_id=each, age_ms=1_500) for each in names[MAX_ATTEMPTS:]]),
        ]
        running.cancel()

    run_virtual(scenario())


def test_a_node_of_a_large_cluster_has_the_usual_time_from_its_next_attempt_on() -> None:
    async def scenario() -> None:
        world, expected = World(), dict[str, float]()
        for number in range(2_000):
            world.put(NODE, f"n{number}", Node(meta=Meta(id=f"n{number}")))
        attempts = SessionAttempts(
            view=world.tables,
            manager_id="m1",
            report=report_to_nobody,
            expect=expected.__setitem__,
            interval_seconds=1.0,
        )
        begun = asyncio.get_running_loop().time()
        attempts.failed("n1")
        attempts.failed_elsewhere([SessionAttempt(node_id=each, age_ms=1_000) for each in ("n1", "n2", "removed")])
        next_time = begun + reconnect_seconds(2_000)
        assert expected == {"n1": next_time, "n2": next_time - 1.0}
        assert attempts.next_attempt("n2") == expected["n2"]
        assert attempts.next_attempt("n3") < 0.0

    run_virtual(scenario())
