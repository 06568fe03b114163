"""Programs in containers: which task is meant, what may be asked for, and both ways of the stream."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator

import pytest

from manager.agents.agent_address import AgentAddress
from manager.tasks.exec_handler import ExecHandler
from manager.tasks.exec_target import find_running
from manager.validation.containers.exec_rules import check_exec
from shoal.api.v1.control_pb2 import CreateServiceRequest
from shoal.api.v1.node_pb2 import NodeStatus
from shoal.api.v1.streams_pb2 import AttachStart, ExecEnd, ExecInput, ExecOutput, ExecStart, ExecStarted
from shoal.api.v1.task_pb2 import TaskState
from shoal.errors import InvalidInput, NotFound, Refused
from tests.unit.manager_api.control_rig import ADMIN, Api, spec_of, with_api


class FakeAgents:
    """An agent that answers with what it is sent, until that is "end"."""

    def __init__(self) -> None:
        self.asked: list[tuple[AgentAddress, ExecStart]] = []
        self.left = 0

    async def exec(self, agent: AgentAddress, messages: AsyncIterator[ExecInput]) -> AsyncGenerator[ExecOutput, None]:
        start = (await anext(messages)).start
        self.asked.append((agent, start))
        try:
            yield ExecOutput(started=ExecStarted(task_id=start.task))
            async for message in messages:
                if message.stdin == b"end":
                    yield ExecOutput(end=ExecEnd(exit_code=7))
                    return
                yield ExecOutput(stdout=message.stdin)
        finally:
            self.left += 1

    async def attach(self, agent: AgentAddress, messages: AsyncIterator[ExecInput]) -> AsyncGenerator[ExecOutput, None]:
        yield ExecOutput(started=ExecStarted(task_id=(await anext(messages)).attach.task))


async def services(api: Api) -> None:
    """`web` of two slots, and `all`, a global service."""
    await api.add_node("node1", "h1")
    await api.add_node("node2", "h2.example.com", NodeStatus.DOWN)
    web = (await api.services.create(CreateServiceRequest(spec=spec_of()), ADMIN)).service.meta.id
    spec = spec_of("all")
    spec.ClearField("replicated")
    getattr(spec, "global").SetInParent()
    every = (await api.services.create(CreateServiceRequest(spec=spec), ADMIN)).service.meta.id
    await api.put_task("9old", web, slot=1, node="node1", state=TaskState.FAILED)
    await api.put_task("t1", web, slot=1, node="node1")
    await api.put_task("t0", web, slot=0, node="node2")
    await api.put_task("t2", web, slot=2, node="node2")
    await api.put_task("t3", web, slot=3, node="node1", state=TaskState.PREPARING)
    await api.put_task("g1", every, slot=0, node="node1")
    await api.put_task("g2", every, slot=0, node="node2")
    for task_id in ("like01", "like02"):
        await api.put_task(f"un{task_id}", every, slot=0, node="node1", state=TaskState.FAILED)


@pytest.mark.parametrize(
    ("reference", "task_id"),
    [
        ("web", "t1"),
        ("web.1", "t1"),
        ("web.2", "t2"),
        ("t2", "t2"),
        ("web.2.t2", "t2"),
        ("all.h1", "g1"),
        ("all.h2.example.com", "g2"),
        ("all.node2", "g2"),
        ("all.node2.g2", "g2"),
        ("all", "g1"),
    ],
)
def test_which_task_is_meant(reference: str, task_id: str) -> None:
    async def scenario(api: Api) -> None:
        await services(api)
        assert find_running(api.store.tables, reference).id == task_id
        service = api.store.tables.service_named("web")
        assert service is not None and find_running(api.store.tables, service.meta.id).id == "t1"

    with_api(scenario)


@pytest.mark.parametrize(
    ("reference", "kind", "reported"),
    [
        ("web.9", NotFound, 'task "web.9" not found; list tasks with `shoal service ps web`'),
        ("web.3", Refused, "task web.3 is not running; see `shoal service ps web`"),
        ("t3", Refused, "task t3 is not running (state: preparing)"),
        ("web.1.9old", Refused, "task web.1.9old is not running (state: failed)"),
        ("other", NotFound, 'task or service "other" not found; list services with `shoal service ls`'),
        ("unlike", InvalidInput, "use a longer prefix"),
        ("unlik", NotFound, 'task or service "unlik" not found; list services with `shoal service ls`'),
        ("", InvalidInput, "a task name or ID is required"),
    ],
)
def test_no_running_task_is_meant(reference: str, kind: type[Exception], reported: str) -> None:
    async def scenario(api: Api) -> None:
        await services(api)
        with pytest.raises(kind) as refused:
            find_running(api.store.tables, reference)
        assert reported in str(refused.value)

    with_api(scenario)


def test_both_ways() -> None:
    async def scenario(api: Api) -> None:
        await services(api)
        agents, given = FakeAgents(), asyncio.Queue[ExecInput]()

        async def messages() -> AsyncIterator[ExecInput]:
            while True:
                yield await given.get()

        answers = ExecHandler(store=api.store, streams=agents).run(messages(), ADMIN)
        given.put_nowait(ExecInput(start=ExecStart(task="web.1", args=["cat"])))
        started = (await anext(answers)).started
        assert (started.task_id, started.task_name) == ("t1", "web.1")
        assert (agents.asked[0][0].node_id, agents.asked[0][1].task) == ("node1", "t1")
        given.put_nowait(ExecInput(stdin=b"one"))
        assert (await anext(answers)).stdout == b"one"
        given.put_nowait(ExecInput(stdin=b"end"))
        assert (await anext(answers)).end.exit_code == 7
        assert [answer async for answer in answers] == []
        gone = ExecHandler(store=api.store, streams=agents).run(messages(), ADMIN)
        given.put_nowait(ExecInput(start=ExecStart(task="web.1", args=["cat"])))
        await anext(gone)
        await gone.aclose()
        assert agents.left == 2

    with_api(scenario)


@pytest.mark.parametrize(
    ("first", "kind", "reported"),
    [
        (ExecInput(stdin=b"x"), InvalidInput, "the first message"),
        (ExecInput(start=ExecStart(task="web.1")), InvalidInput, "args: is required: a command"),
        (ExecInput(start=ExecStart(task="web.2", args=["x"])), Refused, "node h2.example.com is down"),
    ],
)
def test_what_reaches_no_agent(first: ExecInput, kind: type[Exception], reported: str) -> None:
    async def scenario(api: Api) -> None:
        await services(api)
        agents = FakeAgents()

        async def messages() -> AsyncIterator[ExecInput]:
            yield first

        with pytest.raises(kind) as refused:
            await anext(ExecHandler(store=api.store, streams=agents).run(messages(), ADMIN))
        assert reported in str(refused.value)
        assert agents.asked == []

    with_api(scenario)


def test_an_attached_container_says_what_it_has() -> None:
    async def scenario(api: Api) -> None:
        await api.add_node("node1", "h1")
        spec = spec_of()
        spec.task.container.tty = spec.task.container.stdin_open = True
        web = (await api.services.create(CreateServiceRequest(spec=spec), ADMIN)).service.meta.id
        await api.put_task("t1", web)

        async def messages(first: ExecInput) -> AsyncIterator[ExecInput]:
            yield first

        calls = ExecHandler(store=api.store, streams=FakeAgents())
        first = ExecInput(attach=AttachStart(task="web"))
        (answer,) = [answer async for answer in calls.attach(messages(first), ADMIN)]
        desired = ExecStarted(task_id="t1", task_name="web.1", has_terminal=True, reads_input=True)
        assert answer.started == desired
        with pytest.raises(InvalidInput):
            await anext(calls.attach(messages(ExecInput(start=ExecStart(task="web", args=["ls"]))), ADMIN))

    with_api(scenario)


def test_every_fault_at_once() -> None:
    start = ExecStart(args=["", "a\0b"], env=["x"], user="a b", working_dir="srv")
    assert [fault.path for fault in check_exec(start)] == ["args", "args[1]", "env[0]", "user", "working_dir"]
    assert [fault.path for fault in check_exec(ExecStart(args=["x"] * 2000))] == ["args"]
    large = ExecStart(args=["x", "y" * 70_000], env=["A=" + "z" * 70_000])
    assert [fault.path for fault in check_exec(large)] == ["args"]
    assert list(check_exec(ExecStart(args=["ls"], env=["A=", "B=c d"], user="1:2", working_dir="/srv"))) == []
