"""WaitContainer: the first response says that the caller is waiting, the last one how it ended."""

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing

from manager.containers.service_tasks import service_task
from manager.containers.task_calls import TaskCalls
from manager.records.container_facts import has_live_task, is_restarting, is_running, newest_task
from manager.records.object_lookup import find_container
from manager.store.changes import Change
from manager.store.record_store import RecordReader
from manager.store.subscription import Subscription
from manager.store.tables import View
from shoal.api.v1.engine_pb2 import WaitContainerRequest, WaitContainerResponse
from shoal.api.v1.task_pb2 import Task, TaskStatus
from shoal.errors import InvalidInput
from shoal.rpc.caller import Caller
from shoal.task_states import is_terminal


class ContainerWaitHandler:
    """The wait call. It follows one subscription from before its first response, so it misses no end."""

    def __init__(self, *, store: RecordReader, tasks: TaskCalls) -> None:
        self._store = store
        self._tasks = tasks

    async def wait(self, request: WaitContainerRequest, caller: Caller) -> AsyncGenerator[WaitContainerResponse]:
        """Raises NotFound when there is no such container."""
        if request.condition not in WaitContainerRequest.Condition.values():
            raise InvalidInput("condition: must be one of not-running, next-exit, removed")
        view = self._store.tables
        if (task := service_task(view, request.container)) is not None:
            async with aclosing(self._tasks.wait(task, request)) as responses:
                async for response in responses:
                    yield response
            return
        identifier = find_container(view, request.container).meta.id
        with self._store.follow() as changes:
            ends = _Ends(view, identifier)
            yield WaitContainerResponse(waiting=True)
            yield await _follow(changes, ends, _CONDITIONS[request.condition])


class _Ends:
    """How the runs of one container end, as its records tell.

    Attributes:
        last: the status of the newest run that has ended; None: none has.
        counted: ends since the wait began.
    """

    def __init__(self, view: View, container_id: str) -> None:
        self.view, self.container_id = view, container_id
        task = newest_task(view, container_id)
        status = view.task_status.get(task.id) if task is not None else None
        self.last = status if status is not None and is_terminal(status.state) else None
        self.counted = 0
        self._tasks = set(view.tasks_of(container_id))
        self._ended = {self.last.task_id} if self.last is not None else set()

    def observe(self, batch: Sequence[Change]) -> None:
        """Records have changed, or were deleted, in this order."""
        for change in batch:
            record = change.new
            if isinstance(record, Task) and record.container_id == self.container_id:
                self._tasks.add(record.id)
        for change in batch:
            record = change.new
            if isinstance(record, TaskStatus) and is_terminal(record.state) and record.task_id in self._tasks:
                self._count(record)

    def _count(self, status: TaskStatus) -> None:
        if status.task_id not in self._ended:
            self._ended.add(status.task_id)
            self.last, self.counted = status, self.counted + 1


def _is_not_running(ends: _Ends) -> bool:
    view, identifier = ends.view, ends.container_id
    container = view.containers.get(identifier)
    return container is None or not (is_running(view, identifier) or is_restarting(view, container))


def _has_exited(ends: _Ends) -> bool:
    return bool(ends.counted) or ends.container_id not in ends.view.containers


def _is_removed(ends: _Ends) -> bool:
    return ends.container_id not in ends.view.containers and not has_live_task(ends.view, ends.container_id)


_CONDITIONS: dict[int, Callable[[_Ends], bool]] = {
    WaitContainerRequest.CONDITION_UNSPECIFIED: _is_not_running,
    WaitContainerRequest.NOT_RUNNING: _is_not_running,
    WaitContainerRequest.NEXT_EXIT: _has_exited,
    WaitContainerRequest.REMOVED: _is_removed,
}


async def _follow(changes: Subscription, ends: _Ends, holds: Callable[[_Ends], bool]) -> WaitContainerResponse:
    while not holds(ends):
        ends.observe(await anext(changes))
    return _response(ends.last)


def _response(status: TaskStatus | None) -> WaitContainerResponse:
    if status is None:
        return WaitContainerResponse()
    error = status.message if not status.HasField("exit_code") else ""
    return WaitContainerResponse(exit_code=status.exit_code, error=error)
