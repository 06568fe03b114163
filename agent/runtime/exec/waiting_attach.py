"""Attach sessions that begin before a container's program starts, so that they miss no byte of it.

A container is created first, with conmon and its socket, and its program waits at a fifo; `WaitingSessions` is asked in
between. A socket that is connected may still wait for conmon's accept(2), and output that conmon reads before it would
not reach the session: so the start waits for that too.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from functools import partial
from pathlib import Path

from agent.runtime.exec.attach_session import MAX_SESSIONS, MAX_SESSIONS_PER_CONTAINER, AttachSession
from agent.runtime.exec.exec_streams import StdStream
from agent.runtime.exec.session_limits import SessionLimits
from agent.worker.container_runtime import ContainerRequest, Exit
from shoal.errors import ShoalError, Unavailable

Connect = Callable[[str, "asyncio.Future[asyncio.Future[Exit]]"], AttachSession]
"""Attaches to the container of a task whose exit is going to be known by the future's result."""

CONNECT_SECONDS = 30.0
"""For the event loop; it answers in milliseconds, unless it is ending."""

_ACCEPT_SECONDS = 1.0
_UNIX_SOCKETS = Path("/proc/net/unix")


class WaitingSession:
    """A session at a program that is going to start. As `AttachSession`; input waits for the start.

    Args:
        on_close: called once, when the session is closed.
    """

    def __init__(self, on_close: Callable[["WaitingSession"], None]) -> None:
        self._on_close = on_close
        self._begun = asyncio.Event()
        self._session: AttachSession | None = None
        self._error: ShoalError | None = None
        self._size: tuple[int, int] | None = None
        self._input_ends = False

    @property
    def is_waiting(self) -> bool:
        """Neither attached nor failed."""
        return not self._begun.is_set()

    def begin(self, session: AttachSession) -> None:
        """It is attached."""
        self._session = session
        if self._size is not None:
            session.resize(*self._size)
        if self._input_ends:
            session.close_input()
        self._begun.set()

    def fail(self, error: ShoalError) -> None:
        """It cannot be attached any more, or the program was not started."""
        self._error = error
        self._begun.set()

    async def output(self) -> AsyncGenerator[tuple[StdStream, bytes]]:
        """As `AttachSession.output`; raises what the start raised."""
        async for each in (await self._attached()).output():
            yield each

    async def write(self, data: bytes) -> None:
        """As `AttachSession.write`."""
        await self._begun.wait()
        if self._session is not None:
            await self._session.write(data)

    def close_input(self) -> None:
        """As `AttachSession.close_input`; before the start, of the input that it is going to have."""
        self._input_ends = True
        if self._session is not None:
            self._session.close_input()

    def resize(self, columns: int, rows: int) -> None:
        """As `AttachSession.resize`; before the start, the size that it is going to have."""
        self._size = columns, rows
        if self._session is not None:
            self._session.resize(columns, rows)

    def signal(self, number: int) -> None:
        """As `AttachSession.signal`; nothing before the start."""
        if self._session is not None:
            self._session.signal(number)

    async def exit_code(self) -> int:
        """As `AttachSession.exit_code`; raises what the start raised."""
        return await (await self._attached()).exit_code()

    async def close(self) -> None:
        """Do not wait any more, or detach."""
        self._on_close(self)
        if self._session is not None:
            await self._session.close()

    async def _attached(self) -> AttachSession:
        await self._begun.wait()
        if self._session is None or self._error is not None:
            raise self._error or Unavailable("not attached")
        return self._session


class WaitingSessions:
    """Those who wait for the start of containers, by container id.

    Methods are for the event loop, but for `before_program`.
    """

    def __init__(self, connect: Connect) -> None:
        self._connect = connect
        self._loop = asyncio.get_running_loop()
        self._waiting: dict[str, dict[WaitingSession, Callable[[], None]]] = {}
        self._exits: dict[str, asyncio.Future[asyncio.Future[Exit]]] = {}
        self._limits = SessionLimits(
            per_container=MAX_SESSIONS_PER_CONTAINER, per_node=MAX_SESSIONS, plural="waiting attach sessions"
        )

    def wait(self, container_id: str) -> WaitingSession:
        """A session that begins with the container's next start. Raises Exhausted if there are too many."""
        closed = self._limits.open(container_id)
        session = WaitingSession(partial(self._leave, container_id))
        self._waiting.setdefault(container_id, {})[session] = closed
        return session

    def before_program(self, request: ContainerRequest) -> None:
        """Attach those who wait for a created container. Blocks, in a worker thread; see `BeforeProgram`."""
        if request.container_id in self._waiting:
            done = asyncio.run_coroutine_threadsafe(self._attach_all(request.container_id, request.task_id), self._loop)
            try:
                done.result(CONNECT_SECONDS)
            except TimeoutError:
                raise Unavailable("the container was not started: callers could not be attached in time") from None
            _await_accepted()

    async def started(self, container_id: str, task_id: str, end: "asyncio.Future[Exit]") -> None:
        """The program was started; those who came since then are attached as at any other time."""
        await self._attach_all(container_id, task_id)
        self._drop(container_id)
        if (known := self._exits.pop(container_id, None)) is not None:
            known.set_result(end)

    def failed(self, container_id: str, error: ShoalError) -> None:
        """The container was not started, and is not going to be: nobody waits for it any more."""
        for session in self._drop(container_id):
            session.fail(error)
        if (known := self._exits.pop(container_id, None)) is not None:
            known.set_exception(error)
            known.exception()  # nobody may ask for it

    async def _attach_all(self, container_id: str, task_id: str) -> None:
        for session in self._waiting.get(container_id, ()):
            if session.is_waiting:
                try:
                    session.begin(self._connect(task_id, self._exit_of(container_id)))
                except ShoalError as error:
                    session.fail(error)

    def _exit_of(self, container_id: str) -> "asyncio.Future[asyncio.Future[Exit]]":
        if container_id not in self._exits:
            self._exits[container_id] = self._loop.create_future()
        return self._exits[container_id]

    def _drop(self, container_id: str) -> list[WaitingSession]:
        dropped = self._waiting.pop(container_id, {})
        for closed in dropped.values():
            closed()
        return list(dropped)

    def _leave(self, container_id: str, session: WaitingSession) -> None:
        waiting = self._waiting.get(container_id, {})
        if (closed := waiting.pop(session, None)) is not None:
            closed()
        if not waiting:
            self._waiting.pop(container_id, None)


def _await_accepted() -> None:
    """Wait until no connection to any conmon of this host waits for its accept(2); such a one has no inode yet
    (proc(5), net/unix)."""
    deadline = time.monotonic() + _ACCEPT_SECONDS
    while time.monotonic() < deadline and any(
        words[6] == "0" and words[7].endswith("/attach")
        for line in _UNIX_SOCKETS.read_text(errors="replace").splitlines()
        if len(words := line.split(maxsplit=7)) == 8
    ):
        time.sleep(0.001)
