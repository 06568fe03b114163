"""Programs that are created first and started later, and whose end is remembered: as Docker's API has them."""

import asyncio
import os
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from dataclasses import dataclass, field

from agent.runtime.exec.exec_starter import CannotExecError
from agent.runtime.exec.exec_streams import StdStream
from agent.streams.exec_relay import ExecRuntime, Program, relay
from shoal.api.v1.engine_pb2 import CreateExecRequest, ExecSession, ResizeExecRequest
from shoal.api.v1.streams_pb2 import ExecEnd, ExecInput, ExecOutput, ExecStart, ExecStarted, StartCreatedExec
from shoal.container_ids import new_exec_id
from shoal.errors import Exhausted, InvalidInput, NotFound, Refused

KEPT_SECONDS = 300.0
"""After the creation, or after the end of one that was started."""

MAX_SESSIONS = 4096
"""On a node; of those that have ended, the oldest go first."""

MAX_START_BYTES = 256 << 10
MAX_ENGINE_REQUEST_BYTES = 4 << 10


@dataclass
class _Session:
    about: ExecSession
    start: ExecStart
    was_started: bool = False
    program: Program | None = None
    expiry: asyncio.TimerHandle | None = None
    watching: "asyncio.Task[None] | None" = field(default=None, repr=False)


class ExecSessions:
    """For one event loop. What is here does not outlive this process; detached programs do.

    Args:
        task_of: the task of a running container, by the id of either; raises NotFound if it is not running.
    """

    def __init__(self, *, task_of: Callable[[str], str], runtime: ExecRuntime) -> None:
        self._task_of = task_of
        self._runtime = runtime
        self._sessions: dict[str, _Session] = {}

    def create(self, request: CreateExecRequest) -> ExecSession:
        """Create one.

        Raises:
            NotFound: the container is not running. InvalidInput: it is too large. Exhausted: there are too many.
        """
        task_id = self._task_of(request.container)
        if request.start.ByteSize() > MAX_START_BYTES:
            raise InvalidInput(f"start: too large ({request.start.ByteSize()} bytes)")
        if len(request.engine_request) > MAX_ENGINE_REQUEST_BYTES:
            raise InvalidInput(f"engine_request: too large ({len(request.engine_request)} bytes)")
        self._make_room()
        start = ExecStart()
        start.CopyFrom(request.start)
        start.task, start.detach = task_id, False
        about = ExecSession(id=new_exec_id(task_id, os.urandom(24)), task_id=task_id, start=start)
        about.start.ClearField("env")
        about.engine_request = request.engine_request
        session = self._sessions[about.id] = _Session(about, start)
        self._expire_later(session)
        return about

    def get(self, exec_id: str) -> ExecSession:
        """How it is. Raises NotFound: there is none, or no more."""
        return self._find(exec_id).about

    def resize(self, request: ResizeExecRequest) -> None:
        """Set the size of its terminal. Raises NotFound; Refused: it is not running."""
        session = self._find(request.id)
        if session.program is None:
            raise Refused(f"exec {request.id} is not running")
        session.program.resize(request.size.columns, request.size.rows)

    async def serve(self, messages: AsyncIterator[ExecInput]) -> AsyncGenerator[ExecOutput]:
        """Start the one of the first message; later messages are its input. As `exec_relay.serve_exec`.

        Raises:
            As `serve_exec`; Refused: it was started before.
        """
        first = await anext(messages, None)
        if first is None or not first.HasField("start_created"):
            raise InvalidInput("the first message must be StartCreatedExec")
        session = self._find(first.start_created.id)
        if session.was_started:
            raise Refused(f"exec {session.about.id} was started before")
        session.was_started = True
        self._keep(session)
        try:
            program = await self._run(session, first.start_created)
        except CannotExecError as error:
            self._ended(session, error.code)
            yield ExecOutput(end=ExecEnd(exit_code=error.code, error=str(error)))
            return
        except BaseException:
            session.was_started = False
            self._expire_later(session)
            raise
        if first.start_created.detach:
            session.watching = asyncio.create_task(_await_end(program))
            yield ExecOutput(started=ExecStarted(task_id=session.about.task_id))
            return
        async with aclosing(relay(program, session.about.task_id, messages)) as outputs:
            async for output in outputs:
                yield output

    async def _run(self, session: _Session, request: StartCreatedExec) -> "_Remembered":
        start = ExecStart()
        start.CopyFrom(session.start)
        start.detach = request.detach
        if start.HasField("terminal") and request.HasField("terminal"):
            start.terminal.CopyFrom(request.terminal)
        program = await self._runtime.start_exec(start)
        session.program = program
        session.about.running, session.about.pid = True, program.pid
        return _Remembered(program, lambda code: self._ended(session, code))

    def _ended(self, session: _Session, code: int) -> None:
        if not session.about.HasField("exit_code"):
            session.program = None
            session.about.running, session.about.pid, session.about.exit_code = False, 0, code
            self._expire_later(session)

    def _find(self, exec_id: str) -> _Session:
        if (session := self._sessions.get(exec_id)) is None:
            raise NotFound(f"exec {exec_id[:64]} does not exist, or no longer")
        return session

    def _make_room(self) -> None:
        if len(self._sessions) >= MAX_SESSIONS:
            ended = next((each for each in self._sessions.values() if each.about.HasField("exit_code")), None)
            if ended is None:
                raise Exhausted(f"too many programs are to run on this node ({len(self._sessions)}); try again later")
            self._forget(ended)

    def _keep(self, session: _Session) -> None:
        if session.expiry is not None:
            session.expiry.cancel()
            session.expiry = None

    def _expire_later(self, session: _Session) -> None:
        self._keep(session)
        session.expiry = asyncio.get_running_loop().call_later(KEPT_SECONDS, self._forget, session)

    def _forget(self, session: _Session) -> None:
        self._keep(session)
        self._sessions.pop(session.about.id, None)


class _Remembered:
    """A program of which `on_end` takes the exit code."""

    def __init__(self, program: Program, on_end: Callable[[int], None]) -> None:
        self._program = program
        self._on_end = on_end
        self.pid = program.pid
        self.write = program.write
        self.close_input = program.close_input
        self.resize = program.resize
        self.signal = program.signal

    def output(self) -> AsyncGenerator[tuple[StdStream, bytes]]:
        """As `Process.output`."""
        return self._program.output()

    async def exit_code(self) -> int:
        """As `Process.exit_code`."""
        code = await self._program.exit_code()
        self._on_end(code)
        return code

    async def close(self) -> int:
        """As `Program.close`."""
        code = await self._program.close()
        self._on_end(code)
        return code


async def _await_end(program: _Remembered) -> None:
    await program.exit_code()
