"""Users at the other end of programs in containers: the calls handed on to the agent that has the container."""

import logging
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Protocol

from manager.control_api.exec_target import agent_of, container_of, find_running, short_name
from manager.control_api.seams import AgentAddress, Records
from manager.control_api.validate_exec import check_exec
from shoal.api.v1.streams_pb2 import ExecInput, ExecOutput
from shoal.errors import InvalidInput

_log = logging.getLogger(__name__)


class Runner(Protocol):
    """The agents. Both raise Unavailable when the node does not answer, NotFound when it runs no such container."""

    def exec(self, agent: AgentAddress, messages: AsyncIterator[ExecInput]) -> AsyncGenerator[ExecOutput, None]: ...

    def attach(self, agent: AgentAddress, messages: AsyncIterator[ExecInput]) -> AsyncGenerator[ExecOutput, None]: ...


class Exec:
    """The calls. What it holds of input and output is what waits to be sent: both ends go at the other's pace."""

    def __init__(self, *, store: Records, runner: Runner) -> None:
        self._store = store
        self._runner = runner

    async def run(self, messages: AsyncIterator[ExecInput]) -> AsyncGenerator[ExecOutput]:
        """A program in a container: the agent's answers; the first says which task it is.

        Raises:
            InvalidInput: with every fault of what is to be run. NotFound: no such task. Refused: it does not run.
            Unavailable: its node does not answer.
        """
        first = await anext(messages, None)
        if first is None or not first.HasField("start"):
            raise InvalidInput("the first message of the call says what to run")
        if faults := list(check_exec(first.start)):
            raise InvalidInput(faults)
        view = self._store.tables
        task = find_running(view, first.start.task)
        agent, name = agent_of(view, task), short_name(view, task)
        _log.info("a program is run in task %s (%s)", name, task.id)
        asked = ExecInput()
        asked.CopyFrom(first)
        asked.start.task = task.id
        async with aclosing(self._runner.exec(agent, _led(asked, messages))) as outputs:
            async for output in outputs:
                if output.HasField("started"):
                    output.started.task_name = name
                yield output

    async def attach(self, messages: AsyncIterator[ExecInput]) -> AsyncGenerator[ExecOutput]:
        """A container's own program: as `run`, but for what is to be run."""
        first = await anext(messages, None)
        if first is None or not first.HasField("attach"):
            raise InvalidInput("the first message of the call says of which task")
        view = self._store.tables
        task = find_running(view, first.attach.task)
        agent, name, container = agent_of(view, task), short_name(view, task), container_of(view, task)
        asked = ExecInput()
        asked.CopyFrom(first)
        asked.attach.task = task.id
        async with aclosing(self._runner.attach(agent, _led(asked, messages))) as outputs:
            async for output in outputs:
                if output.HasField("started"):
                    output.started.task_name = name
                    output.started.has_terminal, output.started.reads_input = container.tty, container.stdin_open
                yield output


async def _led(first: ExecInput, messages: AsyncIterator[ExecInput]) -> AsyncGenerator[ExecInput]:
    yield first
    async for message in messages:
        yield message
