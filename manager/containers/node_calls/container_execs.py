"""Container calls about programs that are created first and started later, on the node of the container.

No manager keeps anything of them: the id of such a program says whose it is.
"""

import logging
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Protocol

from manager.agents.agent_address import AgentAddress
from manager.store.record_store import RecordReader
from manager.store.tables import View
from manager.tasks.exec_handler import prepend, with_task_info
from manager.tasks.exec_target import agent_of, find_running, short_name
from manager.validation.containers.exec_rules import check_exec
from shoal.api.v1.engine_pb2 import (
    CreateExecRequest,
    ExecSession,
    GetExecRequest,
    ResizeExecRequest,
    ResizeExecResponse,
)
from shoal.api.v1.streams_pb2 import ExecInput, ExecOutput, ExecStarted
from shoal.api.v1.task_pb2 import Task
from shoal.container_ids import task_of_exec
from shoal.errors import InvalidInput, NotFound
from shoal.rpc.caller import Caller

_log = logging.getLogger(__name__)


class ExecAgents(Protocol):
    """The agents, as of `manager.agents.container_channels.ContainerChannels`."""

    async def create_exec(self, agent: AgentAddress, request: CreateExecRequest) -> ExecSession: ...

    async def get_exec(self, agent: AgentAddress, request: GetExecRequest) -> ExecSession: ...

    def start_exec(
        self, agent: AgentAddress, messages: AsyncIterator[ExecInput]
    ) -> AsyncGenerator[ExecOutput, None]: ...

    async def resize_exec(self, agent: AgentAddress, request: ResizeExecRequest) -> ResizeExecResponse: ...


class ContainerExecs:
    """The calls. Each raises Unavailable when the node is away, NotFound for what its agent has forgotten."""

    def __init__(self, *, store: RecordReader, agents: ExecAgents) -> None:
        self._store = store
        self._agents = agents

    async def create(self, request: CreateExecRequest, caller: Caller) -> ExecSession:
        """Raises InvalidInput, with every fault; NotFound: no such container; Refused: it is not running."""
        if faults := list(check_exec(request.start)):
            raise InvalidInput(faults)
        view = self._store.tables
        task = find_running(view, request.container)
        session = await self._agents.create_exec(
            agent_of(view, task),
            CreateExecRequest(container=task.id, start=request.start, engine_request=request.engine_request),
        )
        return _completed(session, task)

    async def get(self, request: GetExecRequest, caller: Caller) -> ExecSession:
        """Also after its end, for a while."""
        view = self._store.tables
        task = _task(view, request.id)
        return _completed(await self._agents.get_exec(agent_of(view, task), request), task)

    async def start(self, messages: AsyncIterator[ExecInput], caller: Caller) -> AsyncGenerator[ExecOutput]:
        """As `ExecHandler.run`. Raises InvalidInput: the first message is another one; Refused: it ran before."""
        first = await anext(messages, None)
        if first is None or not first.HasField("start_created"):
            raise InvalidInput("the first message must be `start_created`")
        view = self._store.tables
        task = _task(view, first.start_created.id)
        name = short_name(view, task)
        _log.info("exec in task %s (%s) by %s", name, task.id, caller)
        outputs = self._agents.start_exec(agent_of(view, task), prepend(first, messages))
        async with aclosing(with_task_info(outputs, ExecStarted(task_name=name))) as responses:
            async for response in responses:
                yield response

    async def resize(self, request: ResizeExecRequest, caller: Caller) -> ResizeExecResponse:
        """Of its terminal. Raises Refused: it is not running."""
        view = self._store.tables
        return await self._agents.resize_exec(agent_of(view, _task(view, request.id)), request)


def _task(view: View, exec_id: str) -> Task:
    task = view.tasks.get(task_of_exec(exec_id) or "")
    if task is None:
        raise NotFound(f"exec {exec_id[:64]} does not exist, or no longer")
    return task


def _completed(session: ExecSession, task: Task) -> ExecSession:
    session.container = task.container_id
    return session
