"""One task of this node, from acceptance to oblivion: carries out what `task_step` decides.

One asyncio task runs it. Whatever others tell it (a new assignment, an exit) only changes facts and wakes it.
"""

import asyncio
from collections.abc import Callable
from functools import partial

from agent.disk_full import DiskFull
from agent.worker import killing
from agent.worker.assigned import required
from agent.worker.attaching import NetworkEnded, attach, close
from agent.worker.disk_room import refusal_is_final
from agent.worker.draining import Drain, either
from agent.worker.endings import final_state, why
from agent.worker.faults import attempt, line_of
from agent.worker.hooks import Hooks
from agent.worker.progress import is_for_journal, next_status
from agent.worker.sandbox import Sandbox
from agent.worker.seams import Exit, Image, Running
from agent.worker.sharing import Turn
from agent.worker.starting import start
from agent.worker.stop_terms import drain_terms, grace_seconds, odd_stop_signal, stop_signal
from agent.worker.supplies import SPENT, Supplies, gather, volumes_of
from agent.worker.task_step import Action, Container, Facts, Goal, goal_of, next_action
from agent.worker.tools import Tools
from agent.worker.watches import Change, Watches, add_notice
from shoal import task_states
from shoal.api.v1.journal_pb2 import JournalEntry
from shoal.api.v1.service_pb2 import ServiceRevision
from shoal.api.v1.task_pb2 import Task, TaskState, TaskStatus
from shoal.task_group import TaskGroup


class TaskRunner:
    """Call `assign`, `unassign` and `exited` from the event loop; run `run` once."""

    def __init__(
        self,
        *,
        tools: Tools,
        task: Task,
        revision: ServiceRevision | None,
        entry: JournalEntry | None = None,
        found: Running | Exit | None = None,
    ) -> None:
        self._tools = tools
        self._task = task
        self._revision = revision
        self._assigned = True
        self._status = TaskStatus(task_id=task.id)
        if entry is not None:
            self._status.CopyFrom(entry.status)
        elif task_states.is_terminal(task.state):
            self._status.state = task.state
        self._image_stop_signal = entry.image_stop_signal if entry is not None else ""
        self._found = found
        known = entry.healthcheck if entry is not None and entry.HasField("healthcheck") else None
        look = tools.networks.sockets
        self._watches = Watches(prober=tools.prober, look=look, now_ms=tools.now_ms, tell=self._tell_news, check=known)
        self._image: Image | None = None
        self._sandbox: Sandbox | None = None
        self._supplies: Supplies | None = None
        self._signalled_at: float | None = None
        self._grace_began = 0.0
        self._overdue = False
        self._detached = False
        self._released = False
        self._cut_off = ""
        self._forgotten = False
        self._wake = asyncio.Event()
        self._drain = Drain(tools.networks, self._wake)
        self._hooks = Hooks(tools.runtime, task.id)
        self._turn = Turn(tools.sharing)

    @property
    def task(self) -> Task:
        return self._task

    @property
    def status(self) -> TaskStatus:
        """The last one reported; its state is 0 before acceptance. Not to be changed."""
        return self._status

    def held_volumes(self) -> frozenset[str]:
        """Ids of the volumes that its container has, or is about to be given."""
        holds = not self._released and (self._supplies is not None or self._found is not None)
        return volumes_of(self._revision) if holds else frozenset()

    def assign(self, task: Task, revision: ServiceRevision | None) -> None:
        """What managers want of the task now."""
        changed = task.desired_state != self._task.desired_state
        self._task, self._assigned = task, True
        self._revision = revision or self._revision
        if changed and self._status.state:
            self._write_journal()
        self._wake.set()

    def unassign(self) -> None:
        """Managers do not know the task any more."""
        self._assigned = False
        self._wake.set()

    def cut_off(self, why: str) -> None:
        """Stop it for good, whatever managers wanted last: none of them is in reach. Once is enough."""
        if not self._cut_off and self._goal() is Goal.RUN and not task_states.is_terminal(self._status.state):
            self._cut_off = why
            self._wake.set()

    def exited(self, end: Exit) -> None:
        """Its container has ended."""
        self._found = end
        self._wake.set()

    async def run(self) -> None:
        """Until nothing of the task is left, or cancelled: then the container stays as it is."""
        try:
            async with TaskGroup() as group:
                while not self._forgotten:
                    self._wake.clear()
                    await self._act(next_action(self._facts()), group)
                self._watches.stop()
        finally:
            self._close_sandbox()

    def _facts(self) -> Facts:
        return Facts(
            goal=self._goal(),
            state=self._status.state,
            container=self._container(),
            prepared=self._image is not None and self._sandbox is not None,
            signalled=self._signalled_at is not None,
            overdue=self._overdue,
            released=self._released,
            unchecked=self._watches.is_due(self._status),
            unhealthy=self._status.health == TaskStatus.UNHEALTHY,
            post_start_due=self._hooks.post_start_due(self._revision),
            hook_failed=bool(self._hooks.failure),
            pre_stop_due=self._hooks.pre_stop_due(self._revision),
            led_to=self.is_led_to,
            # With no manager in reach, nobody would tell the others to stop.
            after_others=not self._cut_off and self._is_unwanted() and self._turn.is_awaited(self._task),
        )

    @property
    def has_container(self) -> bool:
        return isinstance(self._found, Running)

    @property
    def is_led_to(self) -> bool:
        """As `Partner.is_led_to`. With no manager in reach, no other node would tell that it leads nobody to it."""
        to_stop = not self._cut_off and self._goal() is Goal.STOP and self.has_container
        return to_stop and self._drain.is_due(self._task, self._status.state)

    @property
    def grace_seconds(self) -> float:
        return grace_seconds(self._revision)

    def _goal(self) -> Goal:
        goal = goal_of(self._task if self._assigned else None)
        return Goal.STOP if self._cut_off and goal is Goal.RUN else goal

    def _container(self) -> Container:
        if isinstance(self._found, Exit):
            return Container.EXITED
        return Container.ABSENT if self._found is None else Container.RUNNING

    async def _act(self, action: Action, group: TaskGroup) -> None:
        match action:
            case Action.ACCEPT:
                self._report(TaskState.ACCEPTED)
            case Action.PREPARE:
                await either(self._prepare(), self._until(self._is_unwanted))
            case Action.START:
                await self._start()
            case Action.POST_START:
                await self._post_start()
            case Action.REPORT_RUNNING:
                self._report_running()
            case Action.CHECK:
                assert isinstance(self._found, Running)
                self._watches.start(group, self._task, self._found, self._status)
            case Action.DRAIN:
                terms = drain_terms(self._revision)
                await self._drain.run(terms, self._status.pid, lambda: self._task, lambda: self._found)
            case Action.LET_OTHERS_STOP:
                await self._turn.wait(self._task, lambda: not self.has_container)
            case Action.PRE_STOP:
                await self._pre_stop()
            case Action.SIGNAL:
                await self._signal()
            case Action.KILL:
                await killing.kill(self._tools.runtime, self._task.id, self._wake)
            case Action.REPORT_EXIT:
                await self._report_exit()
            case Action.REPORT_LOST:
                await self._end(TaskState.FAILED, "the container was lost: the host restarted, or someone removed it")
            case Action.REPORT_STOPPED:
                await self._end(TaskState.SHUTDOWN, self._cut_off or "stopped before it had started")
            case Action.RELEASE:
                await attempt(self._task.id, "removed", self._remove(keep_logs=True))
            case Action.FORGET:
                await attempt(self._task.id, "forgotten", self._erase())
            case Action.WAIT:
                await self._wait()

    async def _wait(self) -> None:
        """For anything to change, or for the grace to end."""
        if self._signalled_at is None or self._overdue or self._container() is not Container.RUNNING:
            await self._wake.wait()
            return
        try:
            async with asyncio.timeout_at(self._signalled_at + grace_seconds(self._revision)):
                await self._wake.wait()
        except TimeoutError:
            self._overdue = True

    async def _until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            self._wake.clear()
            await self._wake.wait()

    async def _prepare(self) -> None:
        try:
            revision = required(self._revision, self._task)
            container, report = revision.spec.task.container, partial(self._report, TaskState.PREPARING)
            report("getting the image")
            is_final = refusal_is_final(revision.spec.task.restart)
            self._image = await self._tools.images.ensure(container.image, report, is_final=is_final)
            self._image_stop_signal = self._image.config.stop_signal
            self._status.notice = odd_stop_signal(self._image_stop_signal)
            self._watches.choose(revision, self._task, self._image.config)
            self._status.image_digest = self._image.digest
            self._supplies = await gather(self._tools, self._task, container, report, is_final=is_final)
            await self._tools.datapath.applied()
            async with self._tools.attachments:
                self._sandbox = await attach(self._tools, self._task, revision.spec.task)
        except NetworkEnded as error:
            await self._end(TaskState.SHUTDOWN, str(error))
        except Exception as error:
            await self._end(TaskState.REJECTED, line_of(f"task {self._task.id}", error))

    async def _start(self) -> None:
        assert self._image is not None and self._sandbox is not None and self._supplies is not None
        made_ready, report = (self._image, self._sandbox, self._supplies), partial(self._report, TaskState.STARTING)
        try:
            stopped = partial(self._until, self._is_unwanted)
            revision = required(self._revision, self._task)
            running = await start(self._tools, self._task, revision, made_ready, report=report, stopped=stopped)
            # An exit may have been told before the start returned.
            self._found = self._found or running
            self._status.pid = running.pid
        except Exception as error:
            if not (isinstance(error, DiskFull) and self._is_unwanted()):
                await self._end(TaskState.REJECTED, line_of(f"task {self._task.id}", error))
        finally:
            self._close_sandbox()
            self._supplies = SPENT

    def _is_unwanted(self) -> bool:
        return self._goal() is not Goal.RUN

    async def _post_start(self) -> None:
        hooks = self._hooks.post_start(self._revision, partial(self._report, TaskState.STARTING))
        await either(hooks, self._until(lambda: self._is_unwanted() or not isinstance(self._found, Running)))
        if self._hooks.post_start_due(self._revision) and self._goal() is Goal.RUN:
            await self._wake.wait()  # the container has ended, which is told in a moment

    async def _pre_stop(self) -> None:
        """Within the grace, of which the rest is for the signal."""
        self._grace_began = asyncio.get_running_loop().time()
        grace, tell = grace_seconds(self._revision), partial(self._report, TaskState.RUNNING)
        hooks = self._hooks.pre_stop(self._revision, grace, tell)
        await either(hooks, self._until(lambda: not isinstance(self._found, Running)))
        if self._hooks.notice:
            self._tell_news(partial(add_notice, notice=self._hooks.notice))

    def _report_running(self) -> None:
        if isinstance(self._found, Running):
            self._status.pid = self._found.pid
            self._status.running_at_ms = self._found.started_ms
        self._watches.begin(self._status)
        self._report(TaskState.RUNNING)

    async def _signal(self) -> None:
        self._watches.stop()
        self._signalled_at = self._grace_began or asyncio.get_running_loop().time()
        await killing.ask(self._tools.runtime, self._task.id, stop_signal(self._revision, self._image_stop_signal))

    async def _report_exit(self) -> None:
        assert isinstance(self._found, Exit)
        is_unhealthy = self._status.health == TaskStatus.UNHEALTHY
        failed = self._hooks.failure or (f"unhealthy: {self._status.health_output}" if is_unhealthy else "")
        state = final_state(self._found, self._goal() is not Goal.RUN, bool(failed))
        limit = self._revision.spec.task.limits.memory_bytes if self._revision is not None else 0
        self._status.exit_code = self._found.code
        self._status.oom_killed = self._found.oom_killed
        await self._end(state, self._cut_off if state == TaskState.SHUTDOWN else failed or why(self._found, limit))

    async def _end(self, state: TaskState.ValueType, message: str) -> None:
        """Tell that it is over, once its addresses and ports are free: a successor may get them at once."""
        self._watches.stop()
        self._close_sandbox()
        while not self._detached:
            await attempt(self._task.id, "detached from its networks", self._detach())
        self._report(state, message)

    async def _detach(self) -> None:
        await self._tools.networks.detach(self._task.id)
        self._detached = True

    async def _remove(self, *, keep_logs: bool) -> None:
        if not self._detached:
            await self._detach()
        await self._tools.runtime.remove(self._task.id, keep_logs=keep_logs)
        self._released, self._found = True, None

    async def _erase(self) -> None:
        await self._remove(keep_logs=False)
        self._tools.journal.remove(self._task.id)
        self._forgotten = True

    def _tell_news(self, change: Change) -> None:
        if self._status.state != TaskState.RUNNING:
            return
        new = TaskStatus()  # those that were told are on their way
        new.CopyFrom(self._status)
        change(new)
        self._status = new
        self._report(TaskState.RUNNING)
        self._write_journal()
        self._wake.set()

    def _report(self, state: TaskState.ValueType, message: str = "") -> None:
        """Journal first, then tell. A state that is behind the one reported is not told: repairs repeat steps."""
        if state < self._status.state:
            return
        before, self._status = self._status, next_status(self._status, state, message, self._tools.now_ms())
        if state != before.state and is_for_journal(state):
            self._write_journal()
        self._tools.report(self._status)

    def _write_journal(self) -> None:
        signal, check = self._image_stop_signal, self._watches.check
        entry = JournalEntry(task=self._task, status=self._status, image_stop_signal=signal, healthcheck=check)
        self._tools.journal.write(entry, self._revision)

    def _close_sandbox(self) -> None:
        close(self._sandbox)
        self._sandbox = None
