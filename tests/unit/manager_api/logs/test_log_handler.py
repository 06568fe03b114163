"""Logs of several nodes: merged by time, followed, and what is missing is said."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, aclosing

import pytest

from manager.agents.agent_address import AgentAddress
from manager.logs.log_handler import MAX_READERS, LogHandler
from manager.store import kinds
from manager.store.changes import delete
from shoal.api.v1.control_pb2 import CreateServiceRequest, LogsRequest, LogsResponse, RemoveServiceRequest
from shoal.api.v1.node_pb2 import NodeStatus
from shoal.api.v1.streams_pb2 import LogBatch, LogChunk, ReadLogsRequest
from shoal.api.v1.task_pb2 import TaskState
from shoal.errors import Exhausted, NotFound, Unavailable
from shoal.logs.log_lines import parse_line, timestamp_bytes
from tests.unit.manager_api.control_rig import ADMIN, Api, spec_of, with_api


class FakeAgents:
    """Logs in memory. A node in `away` does not answer; one that follows gets what is written later too."""

    def __init__(self) -> None:
        self.times: dict[str, list[int]] = {}
        self.away: set[str] = set()
        self.asked: list[tuple[str, ReadLogsRequest]] = []
        self.ended: set[str] = set()
        self.changed = asyncio.Event()

    def write(self, task_id: str, at_ns: int) -> None:
        self.times.setdefault(task_id, []).append(at_ns)
        self.wake()

    def wake(self) -> None:
        self.changed.set()
        self.changed = asyncio.Event()

    async def read_logs(self, agent: AgentAddress, request: ReadLogsRequest) -> AsyncGenerator[LogBatch, None]:
        self.asked.append((agent.node_id, request))
        if agent.node_id in self.away:
            raise Unavailable("it does not answer")
        sent = 0
        while True:
            mine = [(at_ns, task_id) for task_id in request.task_ids for at_ns in self.times.get(task_id, [])]
            for at_ns, task_id in sorted(each for each in mine if each[0] > request.since_ns)[sent:]:
                sent += 1
                yield LogBatch(chunks=[LogChunk(task_id=task_id, lines=timestamp_bytes(at_ns) + b" stdout F x\n")])
            if not request.follow or set(request.task_ids) <= self.ended:
                return
            await self.changed.wait()


async def two_tasks(api: Api, second: "NodeStatus.State.ValueType" = NodeStatus.READY) -> str:
    await api.add_node("node1", "h1")
    await api.add_node("node2", "h2", second)
    identifier = (await api.services.create(CreateServiceRequest(spec=spec_of()), ADMIN)).service.meta.id
    await api.put_task("t1", identifier, node="node1")
    await api.put_task("t2", identifier, node="node2")
    return identifier


async def lines(logs: LogHandler, request: LogsRequest) -> list[str]:
    return [line async for answer in logs.read(request, ADMIN) for line in reported_lines(answer)]


def reported(answer: LogsResponse) -> str:
    (line,) = reported_lines(answer)
    return line


def reported_lines(answer: LogsResponse) -> list[str]:
    match answer.WhichOneof("kind"):
        case "batch":
            rows = [(run.task_id, parse_line(row)) for run in answer.batch.chunks for row in run.lines.splitlines()]
            return [f"{task_id}@{line.time_ns}" for task_id, line in rows if line]
        case "source":
            return [f"source {answer.source.task_id} {answer.source.node_hostname}"]
    return [answer.warning]


def test_finished_logs_are_in_the_order_of_time() -> None:
    async def scenario(api: Api) -> None:
        await two_tasks(api)
        agents = FakeAgents()
        for task_id, at_ns in (("t1", 1), ("t2", 2), ("t1", 3), ("t2", 4)):
            agents.write(task_id, at_ns)
        assert await lines(LogHandler(store=api.store, reader=agents), LogsRequest(target="web", tail=10)) == [
            "source t1 h1",
            "source t2 h2",
            "t1@1",
            "t2@2",
            "t1@3",
            "t2@4",
        ]
        assert all(request.tail == 10 for _, request in agents.asked)

    with_api(scenario)


def test_nodes_that_are_down_or_silent_are_named() -> None:
    async def scenario(api: Api) -> None:
        await two_tasks(api, NodeStatus.DOWN)
        agents = FakeAgents()
        agents.away.add("node1")
        answers = await lines(LogHandler(store=api.store, reader=agents), LogsRequest(target="web"))
        assert answers == ["node h2 is down; the logs of 1 task are missing", "node h1: it does not answer"]

    with_api(scenario)


def test_following_picks_up_new_tasks_and_ends_with_the_service() -> None:
    async def scenario(api: Api) -> None:
        identifier = await two_tasks(api)
        agents = FakeAgents()
        agents.write("t1", 1)
        following = LogHandler(store=api.store, reader=agents).read(LogsRequest(target="web", follow=True), ADMIN)
        async with aclosing(following) as answers:
            seen = [reported(await anext(answers)) for _ in range(2)]
            assert seen == ["source t1 h1", "t1@1"]
            agents.write("t3", 7)
            await api.put_task("t3", identifier, node="node2")
            assert [reported(await anext(answers)) for _ in range(2)] == ["source t3 h2", "t3@7"]
            agents.write("t2", 9)
            assert [reported(await anext(answers)) for _ in range(2)] == ["source t2 h2", "t2@9"]

    with_api(scenario)


def test_following_a_task_ends_with_it() -> None:
    async def scenario(api: Api) -> None:
        identifier = await two_tasks(api)
        agents = FakeAgents()
        agents.write("t1", 1)
        agents.ended.add("t1")
        await api.put_task("t1", identifier, state=TaskState.FAILED)
        async with asyncio.timeout(60):
            answers = await lines(LogHandler(store=api.store, reader=agents), LogsRequest(target="t1", follow=True))
        assert answers == ["source t1 h1", "t1@1"]

    with_api(scenario)


def test_following_tells_of_a_silent_node_and_leaves_when_its_tasks_end() -> None:
    async def scenario(api: Api) -> None:
        identifier = await two_tasks(api)
        agents = FakeAgents()
        agents.away.add("node1")
        agents.ended.update({"t1", "t2"})
        following = LogHandler(store=api.store, reader=agents).read(LogsRequest(target="web", follow=True), ADMIN)
        async with aclosing(following) as answers:
            assert reported(await anext(answers)) == "node h1: it does not answer"
            agents.away.clear()
            agents.write("t1", 5)
            assert reported(await anext(answers)) == "source t1 h1"
        await api.services.remove(RemoveServiceRequest(service=identifier), ADMIN)

    with_api(scenario)


def test_who_stops_reading_a_flood_is_let_go() -> None:
    async def scenario(api: Api) -> None:
        await two_tasks(api)
        agents = FakeAgents()
        for at_ns in range(1, 3000):
            agents.write("t1", at_ns)
        async with asyncio.timeout(60):
            following = LogHandler(store=api.store, reader=agents).read(LogsRequest(target="web", follow=True), ADMIN)
            async with aclosing(following) as answers:
                assert reported(await anext(answers)) == "source t1 h1"
                for _ in range(20):
                    await asyncio.sleep(0)  # until the records read ahead have filled the queue

    with_api(scenario)


def test_an_unknown_target() -> None:
    async def scenario(api: Api) -> None:
        with pytest.raises(NotFound, match='service "nobody" not found'):
            await lines(LogHandler(store=api.store, reader=FakeAgents()), LogsRequest(target="nobody"))

    with_api(scenario)


def test_names_of_tasks_and_whole_stacks() -> None:
    async def scenario(api: Api) -> None:
        spec = spec_of("shop_web")
        spec.stack = "shop"
        await api.add_node("node1", "h1")
        identifier = (await api.services.create(CreateServiceRequest(spec=spec), ADMIN)).service.meta.id
        other = (await api.services.create(CreateServiceRequest(spec=spec_of("other")), ADMIN)).service.meta.id
        await api.put_task("t1", identifier, slot=1, state=TaskState.FAILED)
        await api.put_task("t2", identifier, slot=1)
        await api.put_task("t3", identifier, slot=2)
        await api.put_task("t4", identifier, slot=0)
        await api.put_task("t5", other)
        agents = FakeAgents()
        for number in range(1, 6):
            agents.write(f"t{number}", number)
        logs = LogHandler(store=api.store, reader=agents)

        async def of(target: str = "", stack: str = "") -> set[str]:
            answers = await lines(logs, LogsRequest(target=target, stack=stack))
            return {answer.partition("@")[0] for answer in answers if not answer.startswith("source")}

        assert await of("shop_web.1") == {"t1", "t2"}, "what ran there before too"
        assert await of("shop_web.2") == await of("shop_web.2.t3") == await of("t3") == {"t3"}
        assert await of("shop_web.h1") == await of("shop_web.node1") == {"t4"}
        assert await of(stack="shop") == {"t1", "t2", "t3", "t4"}
        for request in (LogsRequest(target="shop_web.7"), LogsRequest(stack="none")):
            with pytest.raises(NotFound):
                await lines(logs, request)
        await api.services.remove(RemoveServiceRequest(service="shop_web"), ADMIN)
        for gone in ("t1", "t2", "t3", "t4"):
            await api.store.commit([delete(kinds.TASK, gone)])
        with pytest.raises(NotFound):
            await of(stack="shop")

    with_api(scenario)


def test_following_a_stack_picks_up_new_services_and_ends_with_the_last() -> None:
    async def scenario(api: Api) -> None:
        first, second = spec_of("shop_web"), spec_of("shop_db")
        first.stack = second.stack = "shop"
        await api.add_node("node1", "h1")
        web = (await api.services.create(CreateServiceRequest(spec=first), ADMIN)).service.meta.id
        await api.put_task("t1", web)
        agents = FakeAgents()
        agents.write("t1", 1)
        following = LogHandler(store=api.store, reader=agents).read(LogsRequest(stack="shop", follow=True), ADMIN)
        async with aclosing(following) as answers:
            assert [reported(await anext(answers)) for _ in range(2)] == ["source t1 h1", "t1@1"]
            db = (await api.services.create(CreateServiceRequest(spec=second), ADMIN)).service.meta.id
            agents.write("t2", 2)
            await api.put_task("t2", db)
            assert [reported(await anext(answers)) for _ in range(2)] == ["source t2 h1", "t2@2"]
            for name, task in (("shop_web", "t1"), ("shop_db", "t2")):
                agents.ended.add(task)
                await api.services.remove(RemoveServiceRequest(service=name), ADMIN)
                await api.store.commit([delete(kinds.TASK, task)])
            agents.wake()
            async with asyncio.timeout(60):
                assert [answer async for answer in answers] == []

    with_api(scenario)


def test_so_many_users_read_at_once_and_who_leaves_makes_room() -> None:
    async def scenario(api: Api) -> None:
        await two_tasks(api)
        agents = FakeAgents()
        agents.write("t1", 1)
        logs, request = LogHandler(store=api.store, reader=agents), LogsRequest(target="web", follow=True)
        async with AsyncExitStack() as stack:
            readers = [await stack.enter_async_context(aclosing(logs.read(request, ADMIN))) for _ in range(MAX_READERS)]
            for reader in readers:
                await anext(reader)
            with pytest.raises(Exhausted, match=f"{MAX_READERS} log streams are open"):
                await anext(logs.read(request, ADMIN))
            await readers[0].aclose()
            async with aclosing(logs.read(request, ADMIN)) as another:
                await anext(another)

    with_api(scenario)
