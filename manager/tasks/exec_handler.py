"""Exec and attach: streams between users and containers, forwarded to the agent that runs the container."""

import logging
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Protocol

from manager.agents.agent_address import AgentAddress
from manager.store.record_store import RecordReader
from manager.tasks.exec_target import agent_of, container_of, find_running, short_name
from manager.validation.containers.exec_rules import check_exec
from shoal.api.v1.streams_pb2 import ExecInput, ExecOutput, ExecStarted
from shoal.api.v1.task_pb2 import Task
from shoal.errors import InvalidInput
from shoal.rpc.caller import Caller

_log = logging.getLogger(__name__)


class ContainerStreams(Protocol):
    """The agents. Both raise Unavailable when the node does not respond, NotFound when it runs no such container."""

    def exec(self, agent: AgentAddress, messages: AsyncIterator[ExecInput]) -> AsyncGenerator[ExecOutput, None]: ...

    def attach(self, agent: AgentAddress, messages: AsyncIterator[ExecInput]) -> AsyncGenerator[ExecOutput, None]: ...


class ExecHandler:
    """The exec and attach calls. Buffers hold only what is being sent: each side is flow-controlled by the other."""

    def __init__(self, *, store: RecordReader, streams: ContainerStreams) -> None:
        self._store = store
        self._streams = streams

    async def run(self, messages: AsyncIterator[ExecInput], caller: Caller) -> AsyncGenerator[ExecOutput]:
        """Run a command in a container; the agent's responses. The first one names the task.

        Raises:
            InvalidInput: with every fault of the request. NotFound: no such task. Refused: it is not running.
            Unavailable: its node does not respond.
        """
        first = await anext(messages, None)
        if first is None or not first.HasField("start"):
            raise InvalidInput("the first message must be `start`")
        if faults := list(check_exec(first.start)):
            raise InvalidInput(faults)
        task, agent, name = self._resolve(first.start.task)
        _log.info("exec in task %s (%s) by %s", name, task.id, caller)
        start = ExecInput(start=first.start)
        start.start.task = task.id
        outputs = self._streams.exec(agent, prepend(start, messages))
        async with aclosing(with_task_info(outputs, ExecStarted(task_name=name))) as responses:
            async for response in responses:
                yield response

    async def attach(self, messages: AsyncIterator[ExecInput], caller: Caller) -> AsyncGenerator[ExecOutput]:
        """Attach to a container's main process. Raises as `run`."""
        first = await anext(messages, None)
        if first is None or not first.HasField("attach"):
            raise InvalidInput("the first message must be `attach`")
        task, agent, name = self._resolve(first.attach.task)
        container = container_of(self._store.tables, task)
        start = ExecInput(attach=first.attach)
        start.attach.task = task.id
        outputs = self._streams.attach(agent, prepend(start, messages))
        about = ExecStarted(task_name=name, has_terminal=container.tty, reads_input=container.stdin_open)
        async with aclosing(with_task_info(outputs, about)) as responses:
            async for response in responses:
                yield response

    def _resolve(self, reference: str) -> tuple[Task, AgentAddress, str]:
        view = self._store.tables
        task = find_running(view, reference)
        return task, agent_of(view, task), short_name(view, task)


async def with_task_info(outputs: AsyncGenerator[ExecOutput, None], about: ExecStarted) -> AsyncGenerator[ExecOutput]:
    """The agent's responses, completed with facts about the task that the agent does not have."""
    async with aclosing(outputs):
        async for output in outputs:
            if output.HasField("started"):
                output.started.MergeFrom(about)
            yield output


async def prepend(first: ExecInput, messages: AsyncIterator[ExecInput]) -> AsyncGenerator[ExecInput]:
    """The message before all others."""
    yield first
    async for message in messages:
        yield message
