"""Runs one task from acceptance to removal: executes what `task_step` decides.
One asyncio task runs it; calls from outside (a new assignment, an exit) only change facts and wake it."""

import asyncio
from collections.abc import Callable
from functools import partial

from agent.assignments.assigned_state import required_revision
from agent.worker.container_runtime import Exit, Running
from agent.worker.error_handling import try_or_pause
from agent.worker.exit_status import CONTAINER_LOST, failure_reason, final_state, unhealthy_reason
from agent.worker.interfaces import Image
from agent.worker.lifecycle_hooks import LifecycleHooks
from agent.worker.monitoring.container_monitor import ContainerMonitor, StatusChange, add_warning, set_paused
from agent.worker.reported_status import ReportedStatus, initial_status
from agent.worker.restarts.run_end import RunEnd
from agent.worker.shared.network_sharers import StopOrder
from agent.worker.shared.runner_dependencies import RunnerDependencies
from agent.worker.shutdown import termination
from agent.worker.shutdown.connection_drain import ConnectionDrain
from agent.worker.shutdown.grace_period import GracePeriod
from agent.worker.shutdown.stop_policy import drain_policy, grace_seconds, invalid_stop_signal_warning, stop_signal
from agent.worker.shutdown.task_removal import TaskRemoval
from agent.worker.start_steps import StartSteps
from agent.worker.startup.start_measurements import serve_origin
from agent.worker.startup.task_inputs import volumes_of
from agent.worker.status_update import note_start, with_exit
from agent.worker.task_step import Container, Goal, TaskAction, TaskFacts, goal_of, next_action
from shoal import task_states
from shoal.api.v1.journal_pb2 import JournalEntry
from shoal.api.v1.service_pb2 import ServiceRevision
from shoal.api.v1.task_pb2 import Task, TaskState, TaskStatus
from shoal.fault_points.injection import fault
from shoal.restarts.runs import has_started
from shoal.task_group import TaskGroup, race


class TaskRunner:
    """Call `assign`, `unassign` and `exited` from the event loop; run `run` once.

    Attributes:
        run_end: once that is restarted, another runner continues, with the journal's entry.
        wake: has it decide again what is next.
    """

    def __init__(
        self,
        *,
        deps: RunnerDependencies,
        task: Task,
        revision: ServiceRevision | None,
        entry: JournalEntry | None = None,
        observed: Running | Exit | None = None,
    ) -> None:
        self._deps = deps
        self._task = task
        self._revision = revision
        self.is_assigned = True
        self._reported = ReportedStatus(
            initial_status(task, entry), now_ms=deps.now_ms, report=deps.report, write_journal=self._write_journal
        )
        self._report = self._reported.advance
        self.run_end = RunEnd(deps, self._reported, entry)
        self._image_stop_signal = entry.image_stop_signal if entry is not None else ""
        self._observed = observed
        known = entry.healthcheck if entry is not None and entry.HasField("healthcheck") else None
        self._monitor = ContainerMonitor(
            prober=deps.prober,
            read_sockets=deps.networks.sockets,
            now_ms=deps.now_ms,
            on_change=self._change_status,
            check=known,
        )
        self._start_steps = StartSteps(deps, report=self._report, end=self._end, should_stop=self._should_stop)
        self._preparation, self._live_changes = self._start_steps.preparation, self._start_steps.live_changes
        self._removal = TaskRemoval(deps, task.id)
        self._grace = GracePeriod()
        self._disconnected = self._failure = ""
        self._wake = asyncio.Event()
        self.wake = self._wake.set
        self._drain = ConnectionDrain(deps.networks, self._wake)
        self._hooks = LifecycleHooks(deps.runtime, task.id)
        self._stop_order = StopOrder(deps.sharing)

    @property
    def task(self) -> Task:
        return self._task

    @property
    def status(self) -> TaskStatus:
        """The last status reported; its state is 0 before acceptance. Do not modify it."""
        return self._reported.current

    def mounted_volumes(self) -> frozenset[str]:
        """Ids of the volumes that its container has mounted, or is about to mount."""
        holds = not self._removal.is_released and (self._preparation.uses_volumes or self._observed is not None)
        return volumes_of(self._revision) if holds else frozenset()

    def assign(self, task: Task, revision: ServiceRevision | None) -> None:
        """Update the task's assignment."""
        old = self._task
        changed = (task.desired_state, task.revision, task.restart) != (old.desired_state, old.revision, old.restart)
        self._task, self.is_assigned = task, True
        self._revision = revision or self._revision
        if changed and self.status.state:
            self._write_journal()
        self._wake.set()

    def unassign(self) -> None:
        """The task is not assigned to this node any more."""
        self.is_assigned = False
        self._wake.set()

    def stop_disconnected(self, reason: str) -> None:
        """Stop it for good, whatever its last desired state, because no manager is reachable. Idempotent."""
        if not self._disconnected and self._goal() is Goal.RUN and not task_states.is_terminal(self.status.state):
            self._disconnected = reason
            self._wake.set()

    def network_restarted(self) -> None:
        """The task whose network it shares is restarted: what it has of that network is dead."""
        self._failure = self._failure or "the task whose network it shares was restarted"
        self._wake.set()

    def exited(self, end: Exit) -> None:
        """The task's container has exited."""
        self._observed = end
        self._wake.set()

    async def follow_paused(self) -> None:
        """Report whether its container is paused; call it after a pause, and after signals, which resume it."""
        paused = isinstance(self._observed, Running) and await self._deps.runtime.is_paused(self._task.id)
        if paused:
            self._monitor.suspend()
        if paused != self.status.paused:
            self._change_status(partial(set_paused, paused=paused))

    async def run(self) -> None:
        """Run until everything of the task is removed. On cancellation the container keeps running."""
        serve_origin(self._revision, self.status)
        try:
            async with TaskGroup() as group:
                await self.follow_paused()
                while not (self._removal.is_forgotten or self.run_end.is_restarted):
                    self._wake.clear()
                    await self._act(next_action(self._facts()), group)
                self._monitor.stop()
        finally:
            self._preparation.close_sandbox()

    def _facts(self) -> TaskFacts:
        return TaskFacts(
            goal=self._goal(),
            state=self.status.state,
            container=self._container(),
            made=self._preparation.is_made,
            connected=self._preparation.is_connected,
            signalled=self._grace.is_signalled,
            grace_expired=self._grace.is_over,
            released=self._removal.is_released,
            monitoring_due=self._monitor.is_due(self.status),
            unhealthy=self.status.health == TaskStatus.UNHEALTHY,
            post_start_due=self._hooks.post_start_due(self._revision),
            hook_failed=bool(self._hooks.failure or self._failure),
            pre_stop_due=self._hooks.pre_stop_due(self._revision),
            changes_due=self.has_container and self._live_changes.is_due(self._task, self.status, self._revision),
            needs_drain=self.needs_drain,
            run_end=self.run_end.facts(self._task, self._revision),
            # Without a manager, the others would not be asked to stop.
            must_wait_for_others=not self._disconnected
            and self._should_stop()
            and self._stop_order.must_wait(self._task),
        )

    @property
    def has_container(self) -> bool:
        return isinstance(self._observed, Running)

    @property
    def needs_drain(self) -> bool:
        """As `SharingTask.needs_drain`. Without a manager, no other node could confirm the withdrawal."""
        to_stop = not self._disconnected and self._goal() is Goal.STOP and self.has_container
        return to_stop and self._drain.is_due(self._task, self.status.state)

    @property
    def grace_seconds(self) -> float:
        return grace_seconds(self._task, self._revision)

    def _goal(self) -> Goal:
        goal = goal_of(self._task if self.is_assigned else None)
        return Goal.STOP if self._disconnected and goal is Goal.RUN else goal

    def _container(self) -> Container:
        ended = Container.EXITED if isinstance(self._observed, Exit) else Container.ABSENT
        return Container.RUNNING if self.has_container else ended

    async def _act(self, action: TaskAction, group: TaskGroup) -> None:
        match action:
            case TaskAction.ACCEPT:
                self._report(TaskState.ACCEPTED)
                fault("agent.task.accepted")
            case TaskAction.MAKE:
                make = self._start_steps.make(self._task, self._revision, self.status, self._use_image)
                await race(make, self._wait_until(self._should_stop))
            case TaskAction.REPORT_READY:
                self._report(TaskState.READY)
            case TaskAction.CONNECT:
                await race(self._start_steps.connect(self._task, self._revision), self._wait_until(self._should_stop))
            case TaskAction.START:
                await self._start()
            case TaskAction.POST_START:
                await self._post_start()
            case TaskAction.REPORT_RUNNING:
                self._report_running()
            case TaskAction.APPLY_CHANGES:
                if change := await self._live_changes.apply(self._task, self.status, self._revision):
                    self._change_status(change)
            case TaskAction.MONITOR:
                assert isinstance(self._observed, Running)
                self._monitor.start(group, self._task, self._observed, self.status)
            case TaskAction.DRAIN:
                policy = drain_policy(self._revision)
                await self._drain.run(policy, self.status.pid, lambda: self._task, lambda: self._observed)
            case TaskAction.WAIT_FOR_OTHERS:
                await self._stop_order.wait(self._task, lambda: not self.has_container)
            case TaskAction.PRE_STOP:
                await self._pre_stop()
            case TaskAction.SIGNAL:
                await self._signal()
            case TaskAction.KILL:
                await termination.kill(self._deps.runtime, self._task.id, self._wake)
            case TaskAction.REPORT_EXIT:
                await self._report_exit()
            case TaskAction.REPORT_LOST:
                await self._end(TaskState.FAILED, CONTAINER_LOST, may_restart=False)
            case TaskAction.OFFER_END | TaskAction.CONFIRM_END | TaskAction.RESTART:
                self.run_end.act(action, self._task, self._revision)
            case TaskAction.REPORT_STOPPED:
                await self._end(TaskState.SHUTDOWN, self._disconnected or "stopped before it started")
            case TaskAction.RELEASE:
                await try_or_pause(self._task.id, "removed", self._removal.release())
                self._observed = None if self._removal.is_released else self._observed
            case TaskAction.FORGET:
                await try_or_pause(self._task.id, "forgotten", self._removal.forget())
            case TaskAction.WAIT if self.has_container:
                await self._grace.wait(self._wake, self.grace_seconds)
            case TaskAction.WAIT:
                await self.run_end.wait(self._task, self._revision, self._wake)

    async def _wait_until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            self._wake.clear()
            await self._wake.wait()

    def _use_image(self, image: Image) -> None:
        revision = required_revision(self._revision, self._task)
        self._image_stop_signal = image.config.stop_signal
        self.status.warning = invalid_stop_signal_warning(self._image_stop_signal)
        self._monitor.configure(revision, self._task, image.config)
        self.status.image_digest = image.digest

    async def _start(self) -> None:
        cancelled = partial(self._wait_until, self._should_stop)
        running = await self._start_steps.start(self._task, self._revision, self.status, cancelled)
        if running is not None:
            # An exit may have been reported before the start returned.
            self._observed = self._observed or running
            note_start(self.status, self._task, running)

    def _should_stop(self) -> bool:
        return self._goal() not in (Goal.RUN, Goal.CREATE)

    async def _post_start(self) -> None:
        hooks = self._hooks.post_start(self._revision, partial(self._report, TaskState.STARTING))
        await race(hooks, self._wait_until(lambda: self._should_stop() or not isinstance(self._observed, Running)))
        if self._hooks.post_start_due(self._revision) and self._goal() is Goal.RUN:
            await self._wake.wait()  # the container has exited, which is reported in a moment

    async def _pre_stop(self) -> None:
        """Within the grace period; the rest of it is for the stop signal."""
        self._grace.begin()
        grace, report = self.grace_seconds, partial(self._report, TaskState.RUNNING)
        hooks = self._hooks.pre_stop(self._revision, grace, report)
        await race(hooks, self._wait_until(lambda: not isinstance(self._observed, Running)))
        if self._hooks.warning:
            self._change_status(partial(add_warning, warning=self._hooks.warning))

    def _report_running(self) -> None:
        if self.status.restarts.starting:
            self._change_status(self._mark_running)
            fault("agent.restart.running")
        else:
            self._mark_running(self.status)
            self._report(TaskState.RUNNING)
            fault("agent.task.running")

    def _mark_running(self, status: TaskStatus) -> None:
        if isinstance(self._observed, Running):
            status.pid = self._observed.pid
            status.running_at_ms = self._observed.started_ms
        has_started(status)
        self._monitor.mark_started(status)

    async def _signal(self) -> None:
        self._monitor.stop()
        self._grace.signal()
        if self._deps.build_sandboxes.end(self._task.id):
            return
        await termination.send_stop_signal(self._deps.runtime, self._task.id, self.stop_signal)
        await self.follow_paused()

    @property
    def stop_signal(self) -> str:
        """The name of the signal that asks its program to end."""
        return stop_signal(self._task, self._revision, self._image_stop_signal)

    async def _report_exit(self) -> None:
        assert isinstance(self._observed, Exit)
        failure = self._hooks.failure or self._failure or unhealthy_reason(self.status)
        limit = self._revision.spec.task.limits.memory_bytes if self._revision is not None else 0
        stopping = self._should_stop()
        reason = self._disconnected if stopping else failure or failure_reason(self._observed, limit)
        await self._end(final_state(self._observed, stopping, bool(failure)), reason)

    async def _end(self, state: TaskState.ValueType, message: str, *, may_restart: bool = True) -> None:
        """End the run, once the task's addresses and ports are free: a successor may get them at once."""
        self._monitor.stop()
        self._preparation.close_sandbox()
        while not self._removal.is_detached:
            await try_or_pause(self._task.id, "detached from its networks", self._removal.detach())
        exit_seen = self._observed if isinstance(self._observed, Exit) else None
        end = with_exit(self._reported.next(state, message), exit_seen)
        self.run_end.begin(self._task, self._revision, end, may_restart=may_restart and not self._should_stop())
        if self._task.container_id and exit_seen is None:
            self._deps.runtime.never_started(self._task.container_id, message)

    def _change_status(self, change: StatusChange) -> None:
        if self._reported.change(change):
            self._wake.set()

    def _write_journal(self) -> None:
        self._deps.journal.write(self.journal_entry(), self._revision)

    def journal_entry(self) -> JournalEntry:
        """What a later runner needs to continue."""
        signal, check = self._image_stop_signal, self._monitor.check
        entry = JournalEntry(task=self._task, status=self.status, image_stop_signal=signal, healthcheck=check)
        self.run_end.add_to(entry)
        return entry
