"""Users at the other end of programs in containers: the calls handed on to the agent that has the container."""

import logging
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Protocol

from manager.control_api.exec_target import agent_of, container_of, find_running, short_name
from manager.control_api.seams import AgentAddress, Records
from manager.control_api.validate_exec import check_exec
from shoal.api.v1.streams_pb2 import ExecInput, ExecOutput, ExecStarted
from shoal.api.v1.task_pb2 import Task
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
        task, agent, name = self._found(first.start.task)
        _log.info("a program is run in task %s (%s)", name, task.id)
        asked = ExecInput(start=first.start)
        asked.start.task = task.id
        outputs = self._runner.exec(agent, _led(asked, messages))
        async with aclosing(_named(outputs, ExecStarted(task_name=name))) as answers:
            async for answer in answers:
                yield answer

    async def attach(self, messages: AsyncIterator[ExecInput]) -> AsyncGenerator[ExecOutput]:
        """A container's own program: as `run`, but for what is to be run."""
        first = await anext(messages, None)
        if first is None or not first.HasField("attach"):
            raise InvalidInput("the first message of the call says of which task")
        task, agent, name = self._found(first.attach.task)
        container = container_of(self._store.tables, task)
        asked = ExecInput(attach=first.attach)
        asked.attach.task = task.id
        outputs = self._runner.attach(agent, _led(asked, messages))
        about = ExecStarted(task_name=name, has_terminal=container.tty, reads_input=container.stdin_open)
        async with aclosing(_named(outputs, about)) as answers:
            async for answer in answers:
                yield answer

    def _found(self, reference: str) -> tuple[Task, AgentAddress, str]:
        view = self._store.tables
        task = find_running(view, reference)
        return task, agent_of(view, task), short_name(view, task)


async def _named(outputs: AsyncGenerator[ExecOutput, None], about: ExecStarted) -> AsyncGenerator[ExecOutput]:
    """The agent's answers, with what it does not know of the task."""
    async with aclosing(outputs):
        async for output in outputs:
            if output.HasField("started"):
                output.started.MergeFrom(about)
            yield output


async def _led(first: ExecInput, messages: AsyncIterator[ExecInput]) -> AsyncGenerator[ExecInput]:
    yield first
    async for message in messages:
        yield message
