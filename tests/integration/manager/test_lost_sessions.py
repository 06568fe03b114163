"""Sessions with programs do not go on at another manager: each ends with what happened and what to do, never with 0."""

import asyncio
import os
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from shoal.api.v1.streams_pb2 import ExecInput, ExecOutput, ExecStarted
from shoal.rpc.caller import Context
from shoal.rpc.join import join
from tests.integration.manager.manager_process import ManagerProcess, join_token_of
from tests.integration.manager.scripted_agents import ScriptedAgent
from tests.integration.manager.test_lost_calls import client_of
from tests.integration.manager.test_silence import SHOAL, run_web
from tests.integration.manager.test_two_managers import with_two


class BusyAgent(ScriptedAgent):
    """Programs in its containers say that they run, and go on until their session is ended.

    Attributes:
        ended: sessions that were.
    """

    ended = 0

    async def Exec(  # noqa: N802
        self, request_iterator: AsyncIterator[ExecInput], context: Context
    ) -> AsyncGenerator[ExecOutput]:
        async for output in self._runs((await anext(request_iterator)).start.task):
            yield output

    async def Attach(  # noqa: N802
        self, request_iterator: AsyncIterator[ExecInput], context: Context
    ) -> AsyncGenerator[ExecOutput]:
        async for output in self._runs((await anext(request_iterator)).attach.task):
            yield output

    async def _runs(self, task: str) -> AsyncGenerator[ExecOutput]:
        try:
            yield ExecOutput(started=ExecStarted(task_id=task))
            yield ExecOutput(stdout=b"running\n")
            await asyncio.Event().wait()
        finally:
            self.ended += 1


@asynccontextmanager
async def busy_agent(first: ManagerProcess, control: Any, *managers: ManagerProcess) -> AsyncGenerator[BusyAgent]:
    joined = await join(first.joining, await join_token_of(control), "h1")
    agent = BusyAgent("h1", joined.node_id, joined.identity, *(each.api for each in managers))
    running = asyncio.create_task(agent.run())
    try:
        yield agent
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


@pytest.mark.parametrize("loss", ["kill", "pause"])
@pytest.mark.parametrize(
    ("words", "advice"),
    [
        (("exec", "web", "cat"), "the command is ended and its exit code is unknown: check what it has done"),
        (("attach", "web.1"), "the container is not affected: attach again"),
    ],
)
def test_a_command_whose_manager_is_lost_says_so(
    tmp_path: Path, words: tuple[str, ...], advice: str, loss: str
) -> None:
    async def scenario(first: ManagerProcess, one: Any, second: ManagerProcess, two: Any) -> None:
        async with busy_agent(first, one, second) as agent:
            await run_web(one, 1)
            with client_of(tmp_path, first) as client:
                name = client.context.name
            environment = {**os.environ, "SHOAL_CONFIG": str(tmp_path / "contexts"), "SHOAL_CONTEXT": name}
            process = await asyncio.create_subprocess_exec(
                *(SHOAL, *words),
                env=environment,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
            )
            assert process.stdout is not None
            assert await process.stdout.readline() == b"running\n"
            getattr(first, loss)()
            async with asyncio.timeout(60):
                _, errors = await process.communicate()
                while not agent.ended:  # noqa: ASYNC110  # in gRPC's hands
                    await asyncio.sleep(0.05)
            text = errors.decode()
            assert process.returncode == 1, text
            assert advice in text and text.count("\n") == 1

    with_two(tmp_path, scenario)
