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
from shoal.api.v1.engine_pb2 import WaitContainerRequest, WaitContainerResponse, WaitPosition
from shoal.api.v1.task_pb2 import Task, TaskStatus
from shoal.errors import InvalidInput, Refused
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
            since = request.since if request.HasField("since") else None
            if since is not None:
                ends.count_since(since)
            yield WaitContainerResponse(waiting=True, position=since or ends.position)
            yield await _follow(changes, ends, _CONDITIONS[request.condition])


class _Ends:
    """How the runs of one container end, as its records tell.

    Attributes:
        last: the status of the newest run that has ended; None: none has.
        counted: ends since the wait began.
        missed: an end came between the beginning of the wait and this call.
        position: the newest run as it was then.
    """

    def __init__(self, view: View, container_id: str) -> None:
        self.view, self.container_id = view, container_id
        task = newest_task(view, container_id)
        self.last = _newest_end(view, container_id)
        self.counted = 0
        self.missed = False
        self.position = WaitPosition(ended=self.last is not None)
        if task is not None:
            self.position.run, self.position.attempt = task.job_run, task.attempt
        self._tasks = set(view.tasks_of(container_id))
        self._ended = {self.last.task_id} if self.last is not None else set()

    def count_since(self, since: WaitPosition) -> None:
        """Count what has ended between the beginning of a wait and this one, which goes on with it.

        Raises:
            Refused: something has, and its record is gone since it was started again.
        """
        newest = newest_task(self.view, self.container_id)
        if newest is None or not _has_ended_since(since, newest, ended=self.last is not None):
            return
        if self.last is None:
            raise Refused(
                "the container ended and was started again while the connection to a manager was lost; "
                "its exit code is not known"
            )
        self.counted += 1
        self.missed = True

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


def _newest_end(view: View, container_id: str) -> TaskStatus | None:
    """The status of the newest run; None: it has not ended, or there was none."""
    task = newest_task(view, container_id)
    status = view.task_status.get(task.id) if task is not None else None
    return status if status is not None and is_terminal(status.state) else None


def _has_ended_since(since: WaitPosition, newest: Task, *, ended: bool) -> bool:
    """Whether a run has ended that had not when a wait began.

    Args:
        newest: the newest run now, which may have `ended`.
    """
    then, now = (since.run, since.attempt), (newest.job_run, newest.attempt)
    if now == then:
        return ended and not since.ended
    had_run = bool(since.run) and not since.ended
    is_next = now in ((since.run + 1, 0), (since.run, since.attempt + 1))
    return ended or had_run or not is_next


def _is_not_running(ends: _Ends) -> bool:
    view, identifier = ends.view, ends.container_id
    container = view.containers.get(identifier)
    if container is None or ends.missed:
        return True
    return not (is_running(view, identifier) or is_restarting(view, container))


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
    # What the view has already may not have been observed yet.
    return _response(ends.last or _newest_end(ends.view, ends.container_id))


def _response(status: TaskStatus | None) -> WaitContainerResponse:
    if status is None:
        return WaitContainerResponse()
    error = status.message if not status.HasField("exit_code") else ""
    return WaitContainerResponse(exit_code=status.exit_code, error=error)
