"""Commands in containers whose session is lost with its manager, as Docker's clients learn of it; in virtual time."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest

from engine.cluster.program_session import ProgramSession
from engine.handlers.containers.lost_execs import END_SECONDS, UNKNOWN_EXIT_CODE, LostExecs
from engine.handlers.containers.terminal_streams import StreamOptions, connect
from engine.protocol.frames import Output, frame
from engine.server.hijack import RawStream
from shoal.api.v1.engine_pb2 import ExecSession
from shoal.api.v1.streams_pb2 import ExecOutput
from shoal.errors import ConnectionLost, NotFound, Unavailable
from shoal.manager_calls.managers import Managers
from tests.fakes.virtual_time import run_virtual

RUNNING = ExecSession(id="e", running=True, pid=7)
ENDED = ExecSession(id="e", exit_code=137)


def lost_execs(*answers: ExecSession | Exception) -> tuple[LostExecs, list[float]]:
    """With these answers of managers, the last one again and again; and when they were asked."""
    left, asked = list(answers), []

    async def call(method: Callable[..., Any], request: object, *, seconds: float | None = None) -> ExecSession:
        asked.append(asyncio.get_running_loop().time())
        answer = left.pop(0) if len(left) > 1 else left[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    managers = SimpleNamespace(call=call, containers=SimpleNamespace(GetExec=None))
    return LostExecs(cast(Managers, managers)), asked


def test_its_end_is_waited_for_and_its_own_exit_code_is_shown() -> None:
    async def scenario() -> None:
        lost, asked = lost_execs(RUNNING, Unavailable("no manager answers"), ENDED)
        await lost.wait_for_end("e")
        assert len(asked) == 3
        assert lost.seen(ENDED) == ENDED

    run_virtual(scenario())


@pytest.mark.parametrize("answer", [RUNNING, Unavailable("no manager answers")])
def test_an_end_that_nobody_knows_of_does_not_read_as_success(answer: ExecSession | Exception) -> None:
    async def scenario() -> None:
        lost, asked = lost_execs(answer)
        await lost.wait_for_end("e")
        assert END_SECONDS - 1.0 < asked[-1] - asked[0] <= END_SECONDS
        shown = lost.seen(RUNNING)
        assert (shown.running, shown.exit_code) == (False, UNKNOWN_EXIT_CODE)
        other = ExecSession(id="other", running=True)
        assert lost.seen(other) == other

    run_virtual(scenario())


def test_one_that_its_node_knows_no_more_is_not_waited_for() -> None:
    async def scenario() -> None:
        lost, asked = lost_execs(NotFound("no such exec"))
        await lost.wait_for_end("e")
        assert len(asked) == 1

    run_virtual(scenario())


class LostSession:
    """Writes something, then its manager is gone."""

    async def outputs(self) -> AsyncGenerator[ExecOutput]:
        yield ExecOutput(stdout=b"some")
        raise ConnectionLost("m1 is unavailable")


class Client:
    """A client's connection."""

    def __init__(self) -> None:
        self.seen: list[object] = []

    async def write(self, data: bytes) -> None:
        self.seen.append(data)

    async def close(self) -> None:
        self.seen.append("closed")


@pytest.mark.parametrize("terminal", [False, True])
def test_the_client_reads_why_and_its_connection_stays_until_the_end_is_known(terminal: bool) -> None:
    async def scenario() -> None:
        client = Client()

        async def end_is_known() -> None:
            client.seen.append("end is known")

        outputs = [Output.STDOUT] if terminal else [Output.STDOUT, Output.STDERR]
        options = StreamOptions(terminal=terminal, stdin=False, outputs=outputs, on_lost=end_is_known)
        assert await connect(cast(ProgramSession, LostSession()), cast(RawStream, client), options) is None
        text = b"the session was lost: m1 is unavailable\r\n"
        written = [b"some", text] if terminal else [frame(Output.STDOUT, b"some"), frame(Output.STDERR, text)]
        assert client.seen == [*written, "end is known", "closed"]

    run_virtual(scenario())
