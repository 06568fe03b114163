"""Programs that are created first and started later: what is said of them, until they are forgotten."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator

import pytest

from agent.runtime.exec.exec_starter import CannotExecError
from agent.runtime.exec.exec_streams import StdStream
from agent.streams import exec_sessions
from agent.streams.exec_relay import Process, Program
from agent.streams.exec_sessions import ExecSessions
from shoal.api.v1.engine_pb2 import CreateExecRequest, ExecSession, ResizeExecRequest
from shoal.api.v1.streams_pb2 import ExecInput, ExecOutput, ExecStart, StartCreatedExec, TerminalSize
from shoal.container_ids import container_id, task_of_exec
from shoal.errors import Exhausted, InvalidInput, NotFound, Refused
from shoal.ids import new_id

TASK = new_id()


class FakeProgram:
    """Says a line, and ends when it is told to, or is closed."""

    pid = 7

    def __init__(self) -> None:
        self.may_end = asyncio.Event()
        self.sizes: list[tuple[int, int]] = []
        self.code = 3

    async def output(self) -> AsyncGenerator[tuple[StdStream, bytes]]:
        yield StdStream.STDOUT, b"line"
        await self.may_end.wait()

    async def write(self, data: bytes) -> None:
        assert data

    def close_input(self) -> None: ...

    def resize(self, columns: int, rows: int) -> None:
        self.sizes.append((columns, rows))

    def signal(self, number: int) -> None:
        assert number

    async def exit_code(self) -> int:
        await self.may_end.wait()
        return self.code

    async def close(self) -> int:
        if not self.may_end.is_set():
            self.code = 129
        return self.code


class Programs:
    """A runtime that runs them."""

    def __init__(self) -> None:
        self.started: list[ExecStart] = []
        self.program = FakeProgram()
        self.error: Exception | None = None

    async def start_exec(self, request: ExecStart) -> Program:
        if self.error is not None:
            raise self.error
        self.started.append(request)
        return self.program

    def attach(self, task_id: str) -> Process:
        raise AssertionError(task_id)

    def attach_at_start(self, container_id: str) -> Process:
        raise AssertionError(container_id)


def task_of(own_id: str) -> str:
    if own_id != "box":
        raise NotFound("not running")
    return TASK


async def sent(first: StartCreatedExec) -> AsyncIterator[ExecInput]:
    yield ExecInput(start_created=first)


def create(sessions: ExecSessions, **options: object) -> ExecSession:
    start = ExecStart(args=["sh"], env=["SECRET=1"], **options)  # type: ignore[arg-type]  # the caller's
    return sessions.create(CreateExecRequest(container="box", start=start))


async def outputs(sessions: ExecSessions, first: StartCreatedExec) -> list[ExecOutput]:
    return [each async for each in sessions.serve(sent(first))]


def test_from_its_creation_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    async def body() -> None:
        runtime = Programs()
        sessions = ExecSessions(task_of=task_of, runtime=runtime)
        size = TerminalSize(columns=1, rows=2)
        about = create(sessions, terminal=size)
        assert task_of_exec(about.id) == TASK and about.id[:17] == container_id(TASK)[:17] and len(about.id) == 64
        assert not about.running and not about.HasField("exit_code") and not about.start.env
        with pytest.raises(Refused, match="is not running"):
            sessions.resize(ResizeExecRequest(id=about.id, size=size))
        newer = TerminalSize(columns=3, rows=4)
        found = sessions.serve(sent(StartCreatedExec(id=about.id, terminal=newer)))
        assert (await anext(found)).started.task_id == TASK
        assert (await anext(found)).stdout == b"line"
        assert (runtime.started[0].task, list(runtime.started[0].env)) == (TASK, ["SECRET=1"])
        assert runtime.started[0].terminal == newer
        assert (sessions.get(about.id).running, sessions.get(about.id).pid) == (True, 7)
        sessions.resize(ResizeExecRequest(id=about.id, size=size))
        assert runtime.program.sizes == [(1, 2)]
        with pytest.raises(Refused, match="was started before"):
            await outputs(sessions, StartCreatedExec(id=about.id))
        runtime.program.may_end.set()
        assert (await anext(found)).end.exit_code == 3
        await found.aclose()
        ended = sessions.get(about.id)
        assert (ended.running, ended.pid, ended.exit_code) == (False, 0, 3)
        with pytest.raises(Refused, match="was started before"):
            await outputs(sessions, StartCreatedExec(id=about.id))

    asyncio.run(body())


def test_what_an_engine_asked_is_kept_up_to_a_bound() -> None:
    async def body() -> None:
        sessions = ExecSessions(task_of=task_of, runtime=Programs())
        request = CreateExecRequest(container="box", start=ExecStart(args=["sh"]), engine_request=b"{}")
        assert sessions.get(sessions.create(request).id).engine_request == b"{}"
        request.engine_request = bytes(exec_sessions.MAX_ENGINE_REQUEST_BYTES + 1)
        with pytest.raises(InvalidInput, match="engine_request: too large"):
            sessions.create(request)

    asyncio.run(body())


def test_one_that_is_detached_or_left_or_cannot_be_run() -> None:
    async def body() -> None:
        runtime = Programs()
        sessions = ExecSessions(task_of=task_of, runtime=runtime)
        detached = create(sessions)
        (only,) = await outputs(sessions, StartCreatedExec(id=detached.id, detach=True))
        assert only.HasField("started") and runtime.started[0].detach and sessions.get(detached.id).running
        runtime.program.may_end.set()
        await asyncio.sleep(0.01)
        assert sessions.get(detached.id).exit_code == 3
        runtime.program = FakeProgram()
        left = create(sessions)
        found = sessions.serve(sent(StartCreatedExec(id=left.id)))
        await anext(found)
        await found.aclose()
        assert sessions.get(left.id).exit_code == 129
        runtime.error = CannotExecError(127, "no such file")
        missing = create(sessions)
        (end,) = await outputs(sessions, StartCreatedExec(id=missing.id))
        assert (end.end.exit_code, end.end.error) == (127, "no such file")
        assert sessions.get(missing.id).exit_code == 127
        runtime.error = Refused("is paused")
        again = create(sessions)
        with pytest.raises(Refused, match="paused"):
            await outputs(sessions, StartCreatedExec(id=again.id))
        runtime.error = None
        runtime.program.may_end.set()
        assert len(await outputs(sessions, StartCreatedExec(id=again.id))) == 3, "it may be tried again"

    asyncio.run(body())


def test_they_are_forgotten_after_a_while_and_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exec_sessions, "KEPT_SECONDS", 0.05)
    monkeypatch.setattr(exec_sessions, "MAX_SESSIONS", 2)

    async def body() -> None:
        runtime = Programs()
        sessions = ExecSessions(task_of=task_of, runtime=runtime)
        about = create(sessions)
        found = sessions.serve(sent(StartCreatedExec(id=about.id)))
        await anext(found)
        never = create(sessions)
        with pytest.raises(Exhausted):
            create(sessions)
        await asyncio.sleep(0.1)
        with pytest.raises(NotFound):
            sessions.get(never.id)
        assert sessions.get(about.id).running, "not while it runs"
        await found.aclose()
        create(sessions)
        create(sessions)
        with pytest.raises(NotFound):
            sessions.get(about.id)
        for failing in ("nobody", "box"):
            with pytest.raises((NotFound, InvalidInput)):
                sessions.create(CreateExecRequest(container=failing, start=ExecStart(args=["x" * 300_000])))
        with pytest.raises(InvalidInput, match="first message"):
            async for _ in sessions.serve(never_sent()):
                raise AssertionError

    asyncio.run(body())


async def never_sent() -> AsyncIterator[ExecInput]:
    yield ExecInput(stdin=b"x")
