"""Logs of containers of one's own: one over all runs, read by the container's id, followed over restarts."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

import pytest

from manager.agents.agent_address import AgentAddress
from manager.logs.log_handler import LogHandler
from shoal.api.v1.control_pb2 import LogsRequest, LogsResponse
from shoal.api.v1.service_pb2 import LogConfig, TaskTemplate
from shoal.api.v1.standalone_pb2 import ContainerRestart
from shoal.api.v1.streams_pb2 import LogBatch, LogChunk, ReadLogsRequest
from shoal.api.v1.task_pb2 import TaskState, TaskStatus
from shoal.container_ids import container_id
from shoal.errors import NotFound, Refused, Unavailable
from shoal.logs.log_lines import parse_line, timestamp_bytes
from tests.unit.manager_api.containers.container_rig import ContainerRig, with_rig
from tests.unit.manager_api.control_rig import ADMIN

ON_FAILURE = ContainerRestart(condition=ContainerRestart.ON_FAILURE, max_attempts=2)


class FakeLogs:
    """Logs of containers, by their ids: a stream that follows ends when `run_ended` is called."""

    def __init__(self) -> None:
        self.lines: dict[str, list[int]] = {}
        self.asked: list[ReadLogsRequest] = []
        self.silent = False
        self.read = asyncio.Event()
        self._ended = asyncio.Event()

    def run_ended(self) -> None:
        self._ended.set()
        self._ended = asyncio.Event()

    async def read_logs(self, agent: AgentAddress, request: ReadLogsRequest) -> AsyncGenerator[LogBatch, None]:
        self.asked.append(request)
        self.read.set()
        (own,) = request.task_ids
        if self.silent:
            raise Unavailable("it does not answer")
        if own not in self.lines:
            raise NotFound("no log")
        ended = self._ended
        for at_ns in [each for each in self.lines[own] if each > request.since_ns]:
            yield LogBatch(chunks=[LogChunk(task_id=own, lines=timestamp_bytes(at_ns) + b" stdout F x\n")])
        if request.follow:
            await ended.wait()


def shown(answer: LogsResponse) -> str:
    match answer.WhichOneof("kind"):
        case "source":
            return f"source {answer.source.task_name} {answer.source.node_hostname}"
        case "batch":
            (chunk,) = answer.batch.chunks
            (line,) = [parse_line(row) for row in chunk.lines.splitlines()]
            return str(line.time_ns) if line else ""
    return answer.warning


async def lines(rig: ContainerRig, logs: FakeLogs, target: str, **fields: object) -> list[str]:
    request = LogsRequest(target=target, **fields)  # type: ignore[arg-type]  # the caller's
    return [shown(each) async for each in LogHandler(store=rig.store, reader=logs).read(request, ADMIN)]


def test_the_log_is_the_containers_by_any_of_its_names() -> None:
    async def scenario(rig: ContainerRig) -> None:
        logs = FakeLogs()
        created = await rig.create("db")
        identifier = created.container.meta.id
        assert await lines(rig, logs, "db") == [] and not logs.asked, "it never ran"
        running = await rig.start("db")
        logs.lines[identifier] = [1, 2]
        found = [f"source db {running.node_hostname}", "1", "2"]
        for reference in ("db", identifier, container_id(identifier)[:12], running.task.id):
            assert await lines(rig, logs, reference) == found
        await rig.stop("db")
        assert await lines(rig, logs, "db", tail=7) == found
        assert {tuple(each.task_ids) for each in logs.asked} == {(identifier,)} and logs.asked[-1].tail == 7

    with_rig(scenario)


def test_a_node_that_is_down_or_silent_is_named() -> None:
    async def scenario(rig: ContainerRig) -> None:
        logs = FakeLogs()
        node = (await rig.run("db")).node_hostname
        logs.silent = True
        assert await lines(rig, logs, "db") == [f"node {node}: it does not answer"]
        await rig.lose(node)
        assert await lines(rig, logs, "db") == [f"node {node} is down; the logs of 1 task are missing"]

    with_rig(scenario)


def test_a_container_without_a_log_is_refused() -> None:
    async def scenario(rig: ContainerRig) -> None:
        await rig.create("db", task=TaskTemplate(log=LogConfig(disabled=True)))
        with pytest.raises(Refused, match='container "db" has no logs because its log driver is none'):
            await lines(rig, FakeLogs(), "db")

    with_rig(scenario)


def test_following_goes_on_over_restarts_and_ends_with_the_container() -> None:
    async def scenario(rig: ContainerRig) -> None:
        logs = FakeLogs()
        running = await rig.run("db", restart=ON_FAILURE)
        own, first = running.container.meta.id, running.task.id
        logs.lines[own] = [1]
        request = LogsRequest(target="db", follow=True, tail=5)
        async with aclosing(LogHandler(store=rig.store, reader=logs).read(request, ADMIN)) as answers:
            assert [shown(await anext(answers)) for _ in range(2)] == [f"source db {running.node_hostname}", "1"]
            await rig.report(TaskStatus(task_id=first, state=TaskState.FAILED, exit_code=1))
            await rig.until(lambda: len(rig.running(own)) == 1)
            logs.lines[own].append(2)
            logs.run_ended()
            assert shown(await anext(answers)) == "2", "of the next run, and nothing twice"
            await rig.stop("db")
            logs.run_ended()
            assert [shown(each) async for each in answers] == []
        assert logs.asked[0].tail == 5 and not logs.asked[1].HasField("tail") and logs.asked[1].since_ns == 1

    with_rig(scenario)


def test_who_wants_no_past_lines_has_those_of_later_runs_alone() -> None:
    async def scenario(rig: ContainerRig) -> None:
        logs = FakeLogs()
        running = await rig.run("db", restart=ON_FAILURE)
        own = running.container.meta.id
        logs.lines[own] = []
        request = LogsRequest(target="db", follow=True, tail=0)
        async with aclosing(LogHandler(store=rig.store, reader=logs).read(request, ADMIN)) as answers:
            answer = asyncio.create_task(anext(answers))
            await logs.read.wait()
            await rig.report(TaskStatus(task_id=running.task.id, state=TaskState.FAILED, exit_code=1))
            await rig.until(lambda: len(rig.running(own)) == 1)
            (again,) = rig.running(own)
            logs.lines[own] = [again.created_at_ms * 1_000_000 - 1, again.created_at_ms * 1_000_000 + 1]
            logs.run_ended()
            assert shown(await answer).startswith("source db")
            assert shown(await anext(answers)) == str(again.created_at_ms * 1_000_000 + 1)

    with_rig(scenario)


def test_following_ends_with_the_removal() -> None:
    async def scenario(rig: ContainerRig) -> None:
        logs = FakeLogs()
        running = await rig.run("db")
        logs.lines[running.container.meta.id] = [1]
        request = LogsRequest(target="db", follow=True)
        async with aclosing(LogHandler(store=rig.store, reader=logs).read(request, ADMIN)) as answers:
            assert [shown(await anext(answers)) for _ in range(2)][1] == "1"
            await rig.remove("db", force=True)
            logs.run_ended()
            assert [shown(each) async for each in answers] == []

    with_rig(scenario)


def test_a_bound_of_time_ends_following() -> None:
    async def scenario(rig: ContainerRig) -> None:
        logs = FakeLogs()
        running = await rig.run("db")
        logs.lines[running.container.meta.id] = [1]
        request = LogsRequest(target="db", follow=True, until_ns=9)
        async with aclosing(LogHandler(store=rig.store, reader=logs).read(request, ADMIN)) as answers:
            assert [shown(await anext(answers)) for _ in range(2)][1] == "1"
            logs.run_ended()  # as a node does after the first later line
            assert [shown(each) async for each in answers] == []
        assert [each.until_ns for each in logs.asked] == [9]

    with_rig(scenario)
