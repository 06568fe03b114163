"""Container calls that start and stop: start, stop, restart."""

from collections.abc import Callable

from manager.containers import container_records
from manager.containers.container_views import check_node, container_view
from manager.containers.service_tasks import find_own, service_task
from manager.containers.store_waits import wait_on
from manager.containers.task_calls import TaskCalls
from manager.interfaces import NowMs
from manager.records.container_facts import boot_of, is_restarting, is_running
from manager.records.object_lookup import find_container
from manager.store.record_store import RecordStore
from manager.store.subscription import Subscription
from manager.store.tables import View
from manager.validation.standalone_rules import check_stop
from shoal.api.v1.engine_pb2 import ContainerView, StartContainerRequest, StopContainerRequest
from shoal.api.v1.standalone_pb2 import Container, Reschedule
from shoal.api.v1.task_pb2 import Task, TaskState
from shoal.errors import Conflict, InvalidInput, Refused
from shoal.rpc.caller import Caller
from shoal.task_states import observed_state

GIVE_UP_MS = 60_000
"""When the planner gives a start up that is not possible yet and that its caller has not withdrawn."""
NOT_STARTED = Container(desired=Container.CREATED)
"""What a container goes back to whose first start is withdrawn."""
_ATTEMPTS = 4

Change = Callable[[Container], Container | None]
"""The record as a call changes it; None: there is nothing to change."""


class ContainerRuns:
    """The calls that start and stop containers."""

    def __init__(self, *, store: RecordStore, now_ms: NowMs, tasks: TaskCalls) -> None:
        self._store = store
        self._now_ms = now_ms
        self._tasks = tasks

    async def start(self, request: StartContainerRequest, caller: Caller) -> ContainerView:
        """Answered once it runs, or has ended again. One that runs already is answered as it is.

        Raises:
            Refused: it cannot start: a port is taken, its program is not there. The wish is taken back. It runs, and
                only a stopped one was to be started.
            Unavailable: its node is down.
        """

        def change(container: Container) -> Container | None:
            if is_running(self._store.tables, container.meta.id) and not _is_stopping(container):
                if request.only_stopped:
                    raise Refused(f'container "{container.name}" is running')
                return None
            return container_records.started(container, self._now_ms(), self._now_ms() + GIVE_UP_MS)

        return await self._run(request.container, change)

    async def first_run(self, created: Container) -> ContainerView:
        """Of a container whose first run is planned already: answered and raises as `start`."""
        with self._store.follow() as changes:
            return await self._wait_for_run(changes, NOT_STARTED, created)

    async def restart(self, request: StopContainerRequest, caller: Caller) -> ContainerView:
        """Stop it and start it again. Raises as `start`."""
        _check(request)

        def change(container: Container) -> Container:
            give_up_ms = self._now_ms() + GIVE_UP_MS + _grace_ms(container, request)
            return container_records.restarted(container, request.stop, self._now_ms(), give_up_ms)

        return await self._run(request.container, change)

    async def stop(self, request: StopContainerRequest, caller: Caller) -> ContainerView:
        """Answered once it has ended. One that does not run is answered as it is; its restart policy leaves it.

        Raises:
            Unavailable: its node is down.
        """
        _check(request)
        view = self._store.tables

        def change(container: Container) -> Container | None:
            is_idle = not is_running(view, container.meta.id) and not is_restarting(view, container)
            if is_idle:
                return None
            boot_id = boot_of(view, container.meta.id)
            return container_records.stopped(container, request.stop, self._now_ms(), boot_id)

        if (task := service_task(view, request.container)) is not None:
            return await self._tasks.stop(task, request)
        container = find_container(view, request.container)
        with self._store.follow() as changes:
            stopped = await self._change(container.meta.id, change)
            if stopped is None:
                return container_view(view, container)
            run = stopped.run
            return await wait_on(
                changes,
                view,
                lambda view: self._ended(view, stopped, run),
                seconds=None,
                what="",
            )

    async def _run(self, reference: str, change: Change) -> ContainerView:
        view = self._store.tables
        before = find_own(view, reference, "cannot be started")
        with self._store.follow() as changes:
            started = await self._change(before.meta.id, change)
            if started is None:
                return container_view(view, before)
            return await self._wait_for_run(changes, before, started)

    async def _wait_for_run(self, changes: Subscription, before: Container, started: Container) -> ContainerView:
        try:
            return await wait_on(
                changes, self._store.tables, lambda view: self._began(view, started), seconds=None, what=""
            )
        except Refused:
            await self._withdraw(before, started)
            raise

    async def _change(self, identifier: str, change: Change) -> Container | None:
        """Change the record, on top of what others write at the same time; None when there was nothing to change."""
        for attempt in range(_ATTEMPTS):
            container = find_container(self._store.tables, identifier)
            if container.removing:
                raise Refused(f'container "{container.name}" is being removed')
            if container.definition.reschedule != Reschedule.ON_NODE_FAILURE:
                check_node(self._store.tables, container)
            changed = change(container)
            if changed is None:
                return None
            group = container_records.change(container, changed, self._now_ms())
            try:
                await self._store.commit(group.writes, expects=group.expects)
                return changed
            except Conflict:
                if attempt + 1 == _ATTEMPTS:
                    raise
        return None

    def _began(self, view: View, started: Container) -> ContainerView | None:
        """The container once its run has begun, or something else has become of it.

        Raises:
            Refused: the run is not possible.
        """
        container = view.containers.get(started.meta.id)
        if container is None:  # its run has ended, and it was removed with it
            return ContainerView(container=started)
        status = view.service_status.get(container.meta.id)
        if container.run != started.run or container.desired != Container.RUNNING:
            return container_view(view, container)
        if status is not None and status.refused_run == started.run:
            raise Refused(f'container "{container.name}" cannot start: {"; ".join(status.problems)}')
        task = _task_of(view, container, started.run)
        state = observed_state(task, view.task_status.get(task.id)) if task is not None else 0
        if task is not None and state == TaskState.REJECTED:
            raise Refused(f'container "{container.name}" cannot start: {view.task_status[task.id].message}')
        return container_view(view, container) if state >= TaskState.RUNNING else None

    async def _withdraw(self, before: Container, started: Container) -> None:
        """Take a start back that was refused; one that is to be removed after its run is removed at once."""
        container = self._store.tables.containers.get(started.meta.id)
        if container is None or container.run != started.run:
            return
        changed = container_records.start_withdrawn(container, before, self._now_ms())
        if container.definition.auto_remove:
            changed = container_records.removed(container, with_volumes=True, force=True, now_ms=self._now_ms())
        group = container_records.change(container, changed, self._now_ms())
        try:
            await self._store.commit(group.writes, expects=group.expects)
        except Conflict:
            return  # somebody else has decided about it

    def _ended(self, view: View, stopped: Container, run: int) -> ContainerView | None:
        container = view.containers.get(stopped.meta.id)
        if container is None:
            return ContainerView(container=stopped)
        if container.run == run and is_running(view, container.meta.id):
            check_node(view, container)
            return None
        return container_view(view, container)


def _task_of(view: View, container: Container, run: int) -> Task | None:
    """The newest task of a run; a READY one has not become it yet."""
    tasks = [task for task in view.tasks_of(container.meta.id).values() if task.job_run == run]
    return max(tasks, key=lambda task: (task.attempt, task.created_at_ms), default=None)


def _is_stopping(container: Container) -> bool:
    return container.desired != Container.RUNNING


def _grace_ms(container: Container, request: StopContainerRequest) -> int:
    own = container.definition.task.container.stop_grace_ms or 10_000
    return max(0, request.stop.grace_ms if request.stop.HasField("grace_ms") else own)


def _check(request: StopContainerRequest) -> None:
    if faults := list(check_stop("stop", request.stop)):
        raise InvalidInput(faults)
