"""Container calls on a service's task: it is signalled, paused, stopped and waited for; its service replaces it."""

from collections.abc import AsyncGenerator

from manager.containers.container_control import ContainerControl
from manager.containers.container_views import task_view
from manager.containers.service_tasks import agent_of_task, is_task_running, task_text
from manager.containers.store_waits import wait_on
from manager.records.object_lookup import hostname_of, is_down
from manager.store.record_store import RecordReader
from manager.store.tables import View
from manager.tasks.exec_target import container_of, short_name
from shoal.api.v1.engine_pb2 import (
    ContainerView,
    KillContainerRequest,
    KillContainerResponse,
    PauseContainerRequest,
    RemoveContainerRequest,
    RemoveContainersResponse,
    StopContainerRequest,
    WaitContainerRequest,
    WaitContainerResponse,
)
from shoal.api.v1.task_pb2 import Task
from shoal.errors import Refused, Timeout, Unavailable
from shoal.task_states import is_live

REPORT_SECONDS = 10.0
"""How long a pause waits for its report, and a SIGKILL for the end."""
DEFAULT_GRACE_MS = 10_000


class TaskCalls:
    """Each raises Refused when the task does not run, Unavailable when its node is away."""

    def __init__(self, *, store: RecordReader, agents: ContainerControl) -> None:
        self._store = store
        self._agents = agents

    async def kill(self, task: Task, request: KillContainerRequest) -> KillContainerResponse:
        """A signal to its first process."""
        sent = KillContainerRequest(container=task.id, signal=request.signal)
        await self._agents.kill(agent_of_task(self._store.tables, task), sent)
        return KillContainerResponse()

    async def pause(self, task: Task, request: PauseContainerRequest) -> ContainerView:
        """Answered once the node has reported it."""
        view = self._store.tables
        with self._store.follow() as changes:
            sent = PauseContainerRequest(container=task.id, unpause=request.unpause)
            await self._agents.pause(agent_of_task(view, task), sent)
            return await wait_on(
                changes,
                view,
                lambda view: _paused(view, task, paused=not request.unpause),
                seconds=REPORT_SECONDS,
                what=f"container {short_name(view, task)} has not been reported",
            )

    async def stop(self, task: Task, request: StopContainerRequest) -> ContainerView:
        """Its stop signal, and SIGKILL after the grace period; answered once it has ended. Its service replaces it."""
        view = self._store.tables
        if not is_task_running(view, task):
            return task_view(view, task)
        signal, grace_ms = request.stop.signal, container_of(view, task).stop_grace_ms or DEFAULT_GRACE_MS
        if request.stop.HasField("grace_ms"):
            grace_ms = request.stop.grace_ms
        with self._store.follow() as changes:
            agent = agent_of_task(view, task)
            if grace_ms:
                await self._agents.kill(agent, KillContainerRequest(container=task.id, signal=signal, stop=not signal))
                try:
                    seconds = grace_ms / 1000 if grace_ms > 0 else None
                    return await wait_on(changes, view, lambda view: _ended(view, task), seconds=seconds, what="")
                except Timeout:
                    pass
            await self._agents.kill(agent, KillContainerRequest(container=task.id, signal="SIGKILL"))
            what = f"container {short_name(view, task)} has not been reported"
            return await wait_on(changes, view, lambda view: _ended(view, task), seconds=REPORT_SECONDS, what=what)

    async def wait(self, task: Task, request: WaitContainerRequest) -> AsyncGenerator[WaitContainerResponse]:
        """Its end; with the condition REMOVED, that its record is gone."""
        view = self._store.tables
        with self._store.follow() as changes:
            yield WaitContainerResponse(waiting=True)
            removed = request.condition == WaitContainerRequest.REMOVED
            last = view.task_status.get(task.id)
            while task.id in view.tasks and (removed or is_live(task, last)):
                await anext(changes)
                last = view.task_status.get(task.id) or last
            code = last.exit_code if last is not None else 0
            yield WaitContainerResponse(exit_code=code, error=last.message if last is not None and code else "")

    async def remove(self, task: Task, request: RemoveContainerRequest) -> RemoveContainersResponse:
        """With `force` it is stopped at once, and its service replaces it.

        Raises:
            Refused: without `force`, or it has ended: its record is its service's.
        """
        view = self._store.tables
        if not is_task_running(view, task):
            raise Refused(f"{task_text(view, task)}, which keeps it as part of its history")
        if not request.force:
            raise Refused(f"{task_text(view, task)}; with --force it is stopped, and the service replaces it")
        stop = StopContainerRequest(container=task.id)
        stop.stop.grace_ms = 0
        await self.stop(task, stop)
        return RemoveContainersResponse(ids=[task.id])


def _paused(view: View, task: Task, *, paused: bool) -> ContainerView | None:
    status = view.task_status.get(task.id)
    if status is not None and is_task_running(view, task) and status.paused != paused:
        return None
    return task_view(view, view.tasks.get(task.id, task))


def _ended(view: View, task: Task) -> ContainerView | None:
    """Raises Unavailable when its node has gone down meanwhile."""
    known = view.tasks.get(task.id)
    if known is not None and is_task_running(view, known):
        if is_down(view, task.node_id):
            node = hostname_of(view, task.node_id)
            raise Unavailable(f"container {short_name(view, task)} is on node {node}, which is down")
        return None
    return task_view(view, known or task)
