"""Agents that stop in order: their nodes are restarting, and keep their tasks for a while; in virtual time."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from types import SimpleNamespace
from typing import Any, cast

import pytest

from manager.dispatcher.dispatcher import Context, Dispatcher
from manager.dispatcher.liveness.abandoned_nodes import AbandonedNodeMonitor
from manager.dispatcher.liveness.disruption_limit import max_down_at_once
from manager.dispatcher.liveness.heartbeats import MISSED, Liveness
from manager.dispatcher.liveness.session_attempts import Report, SessionAttempts, report_to_nobody
from manager.file_contents.content_codec import PlainCodec
from manager.store.changes import delete, put
from manager.store.kinds import LEADER, MANAGER, NODE
from manager.store.store import Store
from shoal.api.v1.cluster_pb2 import Leader, Manager
from shoal.api.v1.dispatcher_pb2 import AgentMessage, AgentStop, Heartbeat, Hello
from shoal.api.v1.meta_pb2 import Meta
from shoal.api.v1.node_pb2 import Node, NodeDescription, NodeSpec, NodeStatus
from shoal.identity.roles import Role
from shoal.node_states import is_restarting, node_state
from shoal.rpc.caller import Caller
from tests.fakes.loaded_store import loaded_store
from tests.fakes.memory_etcd import MemoryEtcd
from tests.fakes.virtual_time import run_virtual

GRACE_SECONDS = 60.0
EARLY_SECONDS = 50.0
"""Long after any other node would be DOWN."""
SLACK_SECONDS = 10.0


def now_ms() -> int:
    return round(asyncio.get_running_loop().time() * 1000)


class StoppingAgents:
    """One manager's dispatcher, and agents that speak to it."""

    def __init__(self, store: Store, dispatcher: Dispatcher, callers: list[str]) -> None:
        self.store, self._dispatcher, self._callers = store, dispatcher, callers

    async def session(self, node_id: str, stop: AgentStop | None = None, kernel: str = "") -> float:
        """A session of some heartbeats that ends with this message, or as by SIGKILL; the grace that Welcome named."""
        self._callers[:] = [node_id]
        context = cast(Context, SimpleNamespace(peer=lambda: "ipv4:192.0.2.9:1"))
        grace = -1.0
        messages: Any = self._dispatcher.Session(self._requests(node_id, stop, kernel), context)
        async with aclosing(messages):
            async for message in messages:
                if message.HasField("welcome"):
                    grace = message.welcome.restart_grace_ms / 1000
        return grace

    async def _requests(self, node_id: str, stop: AgentStop | None, kernel: str) -> AsyncIterator[AgentMessage]:
        about = NodeDescription(hostname=node_id, address=f"192.0.2.{10 + int(node_id[1:])}", kernel=kernel)
        yield AgentMessage(hello=Hello(description=about))
        for _ in range(3):
            await asyncio.sleep(2.0)
            yield AgentMessage(heartbeat=Heartbeat())
        if stop is not None:
            yield AgentMessage(stop=stop)
            yield AgentMessage(heartbeat=Heartbeat())  # nothing that was still under way counts

    @property
    def attempts(self) -> SessionAttempts:
        return self._dispatcher.attempts

    def status(self, node_id: str = "n1") -> NodeStatus:
        return self.store.tables.node_status[node_id]


@asynccontextmanager
async def manager(
    etcd: MemoryEtcd,
    manager_id: str = "m1",
    grace_seconds: float = GRACE_SECONDS,
    report_attempts: Report = report_to_nobody,
) -> AsyncGenerator[StoppingAgents]:
    """A manager that serves agents; at the end it is gone as by SIGKILL."""
    async with loaded_store(etcd) as store:
        callers = [""]
        dispatcher = Dispatcher(
            store=store,
            manager_id=manager_id,
            now_ms=now_ms,
            secrets=PlainCodec(),
            restart_grace_seconds=grace_seconds,
            report_attempts=report_attempts,
            identify=lambda _: Caller(name=callers[0], role=Role.AGENT, cluster="c", address=""),
        )
        running = asyncio.create_task(dispatcher.run())
        await store.commit([put(MANAGER, manager_id, Manager(id=manager_id, api_address=manager_id))])
        try:
            yield StoppingAgents(store, dispatcher, callers)
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)


def play(scenario: Callable[[MemoryEtcd, StoppingAgents], Awaitable[None]], nodes: int = 1, **options: float) -> None:
    async def run() -> None:
        etcd = MemoryEtcd(clock=asyncio.get_running_loop().time)
        async with manager(etcd, **options) as agents:  # type: ignore[arg-type]
            names = [f"n{number}" for number in range(1, nodes + 1)]
            await agents.store.commit([put(NODE, name, Node(meta=Meta(id=name))) for name in names])
            await scenario(etcd, agents)

    run_virtual(run())


def test_a_node_whose_agent_restarts_is_lost_only_after_the_grace_period() -> None:
    async def scenario(_: MemoryEtcd, agents: StoppingAgents) -> None:
        assert await agents.session("n1", AgentStop()) == GRACE_SECONDS
        stopped_ms = now_ms()
        assert node_state(agents.status()) == "restarting"
        assert agents.status().state == NodeStatus.UNKNOWN, "which every release understands"
        assert agents.status().restart_deadline_ms == stopped_ms + 60_000
        assert agents.status().message == "its agent is restarting; its tasks are kept for up to 60 s"
        await asyncio.sleep(EARLY_SECONDS)
        assert node_state(agents.status()) == "restarting"
        await asyncio.sleep(SLACK_SECONDS + 1.0)
        assert node_state(agents.status()) == "down"
        assert agents.status().message == "its agent stopped, and has not returned within 60 s"

    play(scenario)


def test_a_node_whose_agent_is_back_is_ready_and_its_next_loss_is_an_ordinary_one() -> None:
    async def scenario(_: MemoryEtcd, agents: StoppingAgents) -> None:
        await agents.session("n1", AgentStop())
        await asyncio.sleep(EARLY_SECONDS)
        running = asyncio.create_task(agents.session("n1"))
        await asyncio.sleep(1.0)
        assert node_state(agents.status()) == "ready" and not agents.status().restart_deadline_ms
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await asyncio.sleep(SLACK_SECONDS)
        assert node_state(agents.status()) == "down"
        assert agents.status().message == "no heartbeat for 6 s"

    play(scenario)


def test_a_node_whose_host_shuts_down_is_lost_at_once() -> None:
    async def scenario(_: MemoryEtcd, agents: StoppingAgents) -> None:
        await agents.session("n1", AgentStop(host_stops=True))
        await asyncio.sleep(1.0)
        assert node_state(agents.status()) == "down" and agents.status().message == "its host is shutting down"

    play(scenario)


def test_of_many_hosts_that_shut_down_together_few_are_down() -> None:
    async def scenario(_: MemoryEtcd, agents: StoppingAgents) -> None:
        names = [f"n{number}" for number in range(1, 7)]
        await asyncio.gather(*(agents.session(name, AgentStop(host_stops=True)) for name in names))
        await asyncio.sleep(SLACK_SECONDS)
        states = [node_state(agents.status(name)) for name in names]
        assert set(states) <= {"unknown", "down"} and states.count("down") <= max_down_at_once(6)

    play(scenario, nodes=6)


def test_a_manager_that_starts_meanwhile_keeps_to_the_deadline() -> None:
    async def scenario(etcd: MemoryEtcd, agents: StoppingAgents) -> None:
        await agents.session("n1", AgentStop())
        await asyncio.sleep(EARLY_SECONDS / 2)
        async with manager(etcd) as again:
            await asyncio.sleep(EARLY_SECONDS / 2)
            assert node_state(again.status()) == "restarting"
            await asyncio.sleep(SLACK_SECONDS + 1.0)
            assert node_state(again.status()) == "down"

    play(scenario)


def test_the_leader_keeps_to_the_deadline_when_the_manager_is_lost() -> None:
    async def scenario(etcd: MemoryEtcd, agents: StoppingAgents) -> None:
        await agents.session("n1", AgentStop())
        async with loaded_store(etcd) as store:
            await store.commit([put(LEADER, "", Leader(manager_id="m2")), delete(MANAGER, "m1")])
            monitor = AbandonedNodeMonitor(store=store, manager_id="m2", now_ms=now_ms)
            running = asyncio.create_task(monitor.run(store.version_of(LEADER, "")))
            await asyncio.sleep(EARLY_SECONDS)
            assert is_restarting(store.tables.node_status["n1"])
            await asyncio.sleep(SLACK_SECONDS + 1.0)
            assert node_state(store.tables.node_status["n1"]) == "down"
            running.cancel()

    play(scenario)


def test_a_user_need_not_wait_for_the_deadline() -> None:
    async def scenario(_: MemoryEtcd, agents: StoppingAgents) -> None:
        await agents.session("n1", AgentStop())
        node = agents.store.tables.nodes["n1"]
        spec = NodeSpec(marked_down_ms=agents.status().since_ms, identity=node.spec.identity)
        await agents.store.commit([put(NODE, "n1", Node(meta=node.meta, spec=spec))])
        await asyncio.sleep(1.0)
        assert node_state(agents.status()) == "down"

    play(scenario)


def test_without_a_grace_period_agents_are_not_asked_to_announce_their_stop() -> None:
    async def scenario(_: MemoryEtcd, agents: StoppingAgents) -> None:
        assert await agents.session("n1") == 0.0

    play(scenario, grace_seconds=0.0)


def test_what_an_agent_announces_before_a_newer_session_counts_no_more() -> None:
    async def scenario(_: MemoryEtcd, agents: StoppingAgents) -> None:
        older = asyncio.create_task(agents.session("n1", AgentStop()))
        await asyncio.sleep(5.0)
        newer = asyncio.create_task(agents.session("n1"))
        await asyncio.sleep(3.0)
        assert node_state(agents.status()) == "ready"
        for each in (older, newer):
            each.cancel()
        await asyncio.gather(older, newer, return_exceptions=True)

    play(scenario)


@pytest.mark.parametrize(("grace", "overdue_at"), [(60.0, 60.0), (2.0, 2.0 * MISSED)])
def test_the_deadline_never_shortens_the_usual_time(grace: float, overdue_at: float) -> None:
    liveness = Liveness(2.0)
    liveness.heard("n1", 0.0)
    liveness.expect_restart("n1", grace)
    assert not liveness.evaluate(overdue_at, 1).down
    assert liveness.evaluate(overdue_at + 0.1, 1).down == ("n1",)


def test_restarting_nodes_are_not_silent_for_the_disruption_limit() -> None:
    liveness = Liveness(2.0)
    for number in range(10):
        liveness.heard(f"n{number}", 0.0)
        if number:
            liveness.expect_restart(f"n{number}", GRACE_SECONDS)
    assert liveness.evaluate(7.0, 10).down == ("n0",)
