"""Container calls to the node where it runs: signals, pause, processes, attach."""

import logging
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass

from manager.agents.agent_address import AgentAddress
from manager.containers import container_records
from manager.containers.container_control import ContainerControl
from manager.containers.container_views import check_node, container_view
from manager.containers.node_calls.container_target import agent_of_container, find_container_target
from manager.containers.service_tasks import agent_of_task, service_task
from manager.containers.store_waits import wait_on
from manager.containers.task_calls import TaskCalls
from manager.interfaces import NowMs
from manager.records.container_facts import boot_of, newest_task
from manager.records.object_lookup import container_of_name, find_container
from manager.store.record_store import RecordStore
from manager.store.tables import View
from manager.tasks.exec_handler import ContainerStreams, prepend, with_task_info
from manager.tasks.exec_target import container_of, short_name
from shoal.api.v1.container_pb2 import ContainerSpec
from shoal.api.v1.engine_pb2 import (
    ContainerView,
    KillContainerRequest,
    KillContainerResponse,
    ListProcessesRequest,
    ListProcessesResponse,
    PauseContainerRequest,
)
from shoal.api.v1.standalone_pb2 import Container
from shoal.api.v1.streams_pb2 import AttachStart, ExecInput, ExecOutput, ExecStarted
from shoal.api.v1.task_pb2 import Task, TaskState
from shoal.errors import Conflict, InvalidInput, Refused
from shoal.rpc.caller import Caller
from shoal.signal_names import signal_number
from shoal.task_states import observed_state

_log = logging.getLogger(__name__)

REPORT_SECONDS = 10.0
"""How long a pause waits for its report."""
_ATTEMPTS = 4


class ContainerProcesses:
    """The calls that concern the processes of a container. Each raises Unavailable when its node is away."""

    def __init__(
        self, *, store: RecordStore, agents: ContainerControl, streams: ContainerStreams, now_ms: NowMs
    ) -> None:
        self._store = store
        self._agents = agents
        self._streams = streams
        self._now_ms = now_ms
        self._tasks = TaskCalls(store=store, agents=agents)

    async def kill(self, request: KillContainerRequest, caller: Caller) -> KillContainerResponse:
        """Its restart policy leaves it after this, as with Docker.

        Raises:
            InvalidInput: there is no such signal. Refused: it does not run.
        """
        if request.signal and signal_number(request.signal) is None:
            raise InvalidInput(f'signal "{request.signal[:40]}" is not a signal')
        view = self._store.tables
        if (task := service_task(view, request.container)) is not None:
            return await self._tasks.kill(task, request)
        container = find_container(view, request.container)
        _running(view, container)
        await self._hold(container.meta.id)
        sent = KillContainerRequest(container=container.meta.id, signal=request.signal)
        await self._agents.kill(agent_of_container(view, container), sent)
        return KillContainerResponse()

    async def pause(self, request: PauseContainerRequest, caller: Caller) -> ContainerView:
        """Answered once the node has reported it. Raises Refused: it does not run, or is so already."""
        view = self._store.tables
        if (of_service := service_task(view, request.container)) is not None:
            return await self._tasks.pause(of_service, request)
        container = find_container(view, request.container)
        task = _running(view, container)
        _check_pause(view, container, task, request)
        sent = PauseContainerRequest(container=container.meta.id, unpause=request.unpause)
        with self._store.follow() as changes:
            await self._agents.pause(agent_of_container(view, container), sent)
            return await wait_on(
                changes,
                view,
                lambda view: _reported(view, container, task, paused=not request.unpause),
                seconds=REPORT_SECONDS,
                what=f'container "{container.name}" has not been reported',
            )

    async def list_processes(self, request: ListProcessesRequest, caller: Caller) -> ListProcessesResponse:
        """Of a container, or of a service's task. Raises Refused: it does not run."""
        view = self._store.tables
        container = container_of_name(view, request.container)
        if container is not None:
            _running(view, container)
        target = find_container_target(view, request.container)
        sent = ListProcessesRequest(container=target.identifier, ps_args=request.ps_args)
        return await self._agents.list_processes(target.agent, sent)

    async def attach(self, messages: AsyncIterator[ExecInput], caller: Caller) -> AsyncGenerator[ExecOutput]:
        """With `wait` before it is started: the first response says that no byte will be missed.

        Raises:
            InvalidInput: the first message is another one. Refused: it does not run, without `wait`.
        """
        first = await anext(messages, None)
        if first is None or not first.HasField("attach"):
            raise InvalidInput("the first message must be `attach`")
        target = _attach_target(self._store.tables, first.attach)
        _log.info("attaching to container %s (%s) by %s", target.name, target.identifier, caller)
        start = ExecInput(attach=first.attach)
        start.attach.task, start.attach.wait = target.identifier, target.waits
        about = ExecStarted(task_name=target.name, has_terminal=target.spec.tty, reads_input=target.spec.stdin_open)
        outputs = self._streams.attach(target.agent, prepend(start, messages))
        async with aclosing(with_task_info(outputs, about)) as responses:
            async for response in responses:
                yield response

    async def _hold(self, identifier: str) -> None:
        """Keep the restart policy from starting it again, whatever the signal does."""
        for attempt in range(_ATTEMPTS):
            container = find_container(self._store.tables, identifier)
            boot_id = boot_of(self._store.tables, identifier)
            if container.held and container.held_boot_id == boot_id:
                return
            held = container_records.held(container, self._now_ms(), boot_id)
            group = container_records.change(container, held, 0)
            try:
                await self._store.commit(group.writes, expects=group.expects)
                return
            except Conflict:
                if attempt + 1 == _ATTEMPTS:
                    raise


@dataclass(frozen=True)
class _AttachTarget:
    """To what a caller is attached.

    Attributes:
        identifier: of the task; of the container where its start is waited for (`waits`).
    """

    name: str
    identifier: str
    agent: AgentAddress
    spec: ContainerSpec
    waits: bool = False


def _attach_target(view: View, start: AttachStart) -> _AttachTarget:
    if (task := service_task(view, start.task)) is not None:
        return _AttachTarget(short_name(view, task), task.id, agent_of_task(view, task), container_of(view, task))
    container = find_container(view, start.task)
    waits = start.wait and not _is_running(view, container)
    identifier = container.meta.id if waits else _running(view, container).id
    spec = container.definition.task.container
    return _AttachTarget(container.name, identifier, agent_of_container(view, container), spec, waits)


def _is_running(view: View, container: Container) -> bool:
    task = newest_task(view, container.meta.id)
    return task is not None and observed_state(task, view.task_status.get(task.id)) == TaskState.RUNNING


def _running(view: View, container: Container) -> Task:
    task = newest_task(view, container.meta.id)
    if task is None or not _is_running(view, container):
        raise Refused(f'container "{container.name}" is not running')
    check_node(view, container)
    return task


def _check_pause(view: View, container: Container, task: Task, request: PauseContainerRequest) -> None:
    """Raises Refused: it is so already, as far as its node has told."""
    status = view.task_status.get(task.id)
    if status is not None and status.paused != request.unpause:
        raise Refused(f'container "{container.name}" is {"already" if status.paused else "not"} paused')


def _reported(view: View, container: Container, task: Task, *, paused: bool) -> ContainerView | None:
    status = view.task_status.get(task.id)
    if status is not None and status.state == TaskState.RUNNING and status.paused != paused:
        return None
    return container_view(view, view.containers.get(container.meta.id, container))
