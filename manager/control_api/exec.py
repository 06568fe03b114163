"""Programs that users run in containers: the call handed on to the agent that has the container."""

import logging
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Protocol

from manager.control_api.exec_target import agent_of, find_running, short_name
from manager.control_api.seams import AgentAddress, Records
from manager.control_api.validate_exec import check_exec
from shoal.api.v1.streams_pb2 import ExecInput, ExecOutput, ExecStart
from shoal.errors import InvalidInput

_log = logging.getLogger(__name__)


class Runner(Protocol):
    """The agents."""

    def exec(self, agent: AgentAddress, messages: AsyncIterator[ExecInput]) -> AsyncGenerator[ExecOutput, None]:
        """Raises Unavailable when the node does not answer, NotFound when it runs no such container."""
        ...


class Exec:
    """The call. What it holds of input and output is what waits to be sent: both ends go at the other's pace."""

    def __init__(self, *, store: Records, runner: Runner) -> None:
        self._store = store
        self._runner = runner

    async def run(self, messages: AsyncIterator[ExecInput]) -> AsyncGenerator[ExecOutput]:
        """The agent's answers; the first says which task it is.

        Raises:
            InvalidInput: with every fault of what is to be run. NotFound: no such task. Refused: it does not run.
            Unavailable: its node does not answer.
        """
        first = await anext(messages, None)
        if first is None or first.WhichOneof("kind") != "start":
            raise InvalidInput("the first message of the call says what to run")
        if faults := list(check_exec(first.start)):
            raise InvalidInput(faults)
        view = self._store.tables
        task = find_running(view, first.start.task)
        agent, name = agent_of(view, task), short_name(view, task)
        _log.info("a program is run in task %s (%s)", name, task.id)
        start = ExecStart()
        start.CopyFrom(first.start)
        start.task = task.id
        async with aclosing(self._runner.exec(agent, _for_agent(start, messages))) as outputs:
            async for output in outputs:
                if output.WhichOneof("kind") == "started":
                    output.started.task_name = name
                yield output


async def _for_agent(start: ExecStart, messages: AsyncIterator[ExecInput]) -> AsyncGenerator[ExecInput]:
    yield ExecInput(start=start)
    async for message in messages:
        yield message
