"""Runs all tasks of this node: applies assignments, runs a `TaskRunner` for each task, recovers after a restart."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Mapping
from functools import partial

from agent.assignments.assigned_state import AssignedState, revision_key
from agent.journal.journal import Journal, RecoveredState
from agent.worker.container_runtime import Exit, Running
from agent.worker.interfaces import Images, VolumePart
from agent.worker.restarts.recovered_entry import recovered_entry
from agent.worker.root_collector import RootCollector
from agent.worker.sandbox import ORDINARY, NetworkOptions
from agent.worker.shared.build_sandboxes import BuildSandboxes
from agent.worker.shared.runner_dependencies import RunnerDependencies
from agent.worker.shutdown.disconnection import CHECK_SECONDS, must_stop, stop_reason
from agent.worker.startup.network_attachment import links_of
from agent.worker.task_runner import TaskRunner
from shoal import task_states
from shoal.api.v1.container_pb2 import Mount
from shoal.api.v1.dispatcher_pb2 import Assignments, OrphanReport
from shoal.api.v1.journal_pb2 import JournalEntry
from shoal.api.v1.task_pb2 import Task, TaskState, TaskStatus
from shoal.errors import NotFound, ShoalError
from shoal.fault_points.injection import fault
from shoal.task_group import TaskGroup
from shoal.volume_slots import volume_slot

GC_SECONDS = 30.0
"""Interval of image garbage collection."""
REMOVAL_SECONDS = 20.0
"""For the removal of a container that no record tells of: longer than its processes take to die, if they can."""

_log = logging.getLogger(__name__)


class Worker:
    """`exited` is the runtime's `OnExit`; the session calls `receive`.

    Args:
        deps: shared with all task runners.
        images, journal: the parts behind `deps.images` and `deps.journal`.
        boot_id: another one after each boot of this host.
    """

    def __init__(self, deps: RunnerDependencies, *, images: Images, journal: Journal, boot_id: str) -> None:
        self._deps = deps
        self._images = images
        self._journal = journal
        self._boot_id = boot_id
        self._assigned = deps.assigned
        self._runners: dict[str, TaskRunner] = {}
        self._incoming: asyncio.Queue[Assignments] = asyncio.Queue()
        self._recovered: dict[str, tuple[JournalEntry, Running | Exit | None]] = {}
        self._early_exits: dict[str, Exit] | None = {}
        self._unknown: set[str] = set()
        self._root_collector = RootCollector(deps.runtime, self._tasks)

    @property
    def build_sandboxes(self) -> BuildSandboxes:
        """Networks that managers have made for builds."""
        return self._deps.build_sandboxes

    def receive(self, assignments: Assignments) -> None:
        """Receive assignments from a manager; returns immediately."""
        self._incoming.put_nowait(assignments)

    async def set_paused(self, task_id: str, paused: bool, *, briefly: bool = False) -> None:
        """Pause a task's container, or resume it. Raises NotFound, Refused, Unavailable: see `Runtime.set_paused`."""
        runner = self._runner(task_id)
        await self._deps.runtime.set_paused(task_id, paused, briefly=briefly)
        await runner.follow_paused()

    async def signal(self, task_id: str, signal: str) -> None:
        """Send a signal to a task's container, as `Runtime.signal`; empty: its own stop signal.

        Raises:
            NotFound, InvalidInput.
        """
        runner = self._runner(task_id)
        runner.run_end.hold_by_user(runner.task)
        await self._deps.runtime.signal(task_id, signal or runner.stop_signal)
        await runner.follow_paused()

    def _runner(self, task_id: str) -> TaskRunner:
        if (runner := self._runners.get(task_id)) is None:
            raise NotFound(f"task {task_id} is not on this node")
        return runner

    def set_connected(self, connected: bool) -> None:
        """Whether the session with a manager is established."""
        self._deps.contact.update(connected)
        for runner in self._runners.values():
            runner.wake()

    def stored(self, status: TaskStatus) -> None:
        """A manager has stored a status, or has a later one of the task."""
        if runner := self._runners.get(status.task_id):
            runner.run_end.stored(status)
            runner.wake()

    def not_stored(self, task_id: str) -> None:
        """No manager has stored the last status of a task, nor will one that it was sent to."""
        if runner := self._runners.get(task_id):
            runner.run_end.not_stored()
            runner.wake()

    def exited(self, task_id: str, end: Exit) -> None:
        """A container has exited."""
        if runner := self._runners.get(task_id):
            runner.exited(end)
        elif self._early_exits is not None:  # also while `recover` waits for others than the runtime
            self._early_exits[task_id] = end

    def statuses(self) -> list[TaskStatus]:
        """The last status of every task that was accepted, for a manager that may have missed some."""
        return [runner.run_end.newest_report for runner in self._runners.values() if runner.status.state]

    def orphan_reports(self) -> AsyncGenerator[OrphanReport]:
        """As `RootCollector.reports`."""
        return self._root_collector.reports()

    async def remove_orphan(self, container_id: str) -> None:
        """As `RootCollector.remove_orphan`."""
        await self._root_collector.remove_orphan(container_id)

    def applied_sequences(self) -> AsyncGenerator[int]:
        """Sequence numbers of managers' messages, as soon as the datapath has applied them."""
        return self._deps.datapath.applied_sequences()

    def knows(self, task_id: str) -> bool:
        """Whether this node has the task and has not forgotten it."""
        return task_id in self._runners

    async def recover(self) -> None:
        """Adopt containers that are in the journal; remove those that are not. Call it once.

        Raises:
            ShoalError: the host does not allow this agent to work.
        """
        recovered = self._journal.load()
        fault("agent.recover.journal")
        found = await self._deps.runtime.recover()
        fault("agent.recover.containers")
        unknown = found.keys() - recovered.entries.keys()
        await asyncio.gather(*(self._remove_unknown(task_id) for task_id in unknown))
        live = [entry.task for task_id, entry in recovered.entries.items() if isinstance(found.get(task_id), Running)]
        self._assigned.restore(recovered.assigned)
        options = {task.id: self._network_options(task) for task in live if task.container_id}
        await self._deps.networks.recover(live, options)
        fault("agent.recover.networks")
        self._recovered = self._recover_runs(recovered, found)
        await self._deps.datapath.start(self._assigned.as_diff())
        fault("agent.recover.datapath")
        _log.info("found %d tasks in the journal, %d of them running", len(recovered.entries), len(live))

    async def _remove_unknown(self, task_id: str) -> None:
        """One that cannot be removed now is removed later: it keeps no other container from being recovered."""
        _log.warning("removing container %s: not in the journal", task_id)
        self._unknown.discard(task_id)
        try:
            async with asyncio.timeout(REMOVAL_SECONDS):
                await self._deps.runtime.remove(task_id, keep_logs=False)
        except (ShoalError, TimeoutError) as error:
            self._unknown.add(task_id)
            why = str(error) or f"it has not ended within {REMOVAL_SECONDS:g} s"
            _log.error("could not remove container %s, retrying: %s", task_id, why)

    async def _remove_unknown_later(self) -> None:
        while self._unknown:
            await asyncio.sleep(GC_SECONDS)
            await asyncio.gather(*map(self._remove_unknown, tuple(self._unknown)))

    def _recover_runs(
        self, recovered: RecoveredState, found: Mapping[str, Running | Exit]
    ) -> dict[str, tuple[JournalEntry, Running | Exit | None]]:
        rebooted, runs = recovered.boot_id != self._boot_id, {}
        for task_id, before in recovered.entries.items():
            entry = recovered_entry(before, found.get(task_id), rebooted=rebooted)
            if entry != before:
                self._deps.journal.write(entry, None)
            runs[task_id] = entry, found.get(task_id)
        if rebooted:
            self._deps.journal.write_boot_id(self._boot_id)
        return runs

    def _network_options(self, task: Task) -> NetworkOptions:
        """Of a running task, as far as they are not on its link."""
        revision = self._assigned.revision_of(task)
        if revision is None:
            return ORDINARY
        return NetworkOptions(container_id=task.container_id, links=links_of(revision.spec.task))

    async def run(self) -> None:
        """Run until cancelled, after `recover`. Containers keep running."""
        async with TaskGroup() as group:
            group.create_task(self._deps.datapath.run(), name="datapath")
            group.create_task(self._deps.journal.run(), name="journal")
            group.create_task(self._deps.volumes.run(self._volumes_in_use, self._mounted_volumes), name="volumes")
            group.create_task(self._collect_images(), name="image collection")
            group.create_task(self._root_collector.run(), name="root collection")
            group.create_task(self._stop_disconnected(), name="stop on disconnect")
            group.create_task(self._remove_unknown_later(), name="unknown containers")
            self._start_runners(group)
            early, self._early_exits = self._early_exits or {}, None
            for task_id, end in early.items():
                self.exited(task_id, end)
            while True:
                await self._apply(await self._incoming.get())
                self._start_runners(group)

    def _start_runners(self, group: TaskGroup) -> None:
        """Start a runner for each assigned task without one; tasks of the journal continue where they were."""
        for task_id, task in self._assigned.tasks.items():
            if task_id not in self._runners:
                self._start_runner(task, group, *self._recovered.pop(task_id, (None, None)))

    def _start_runner(
        self, task: Task, group: TaskGroup, entry: JournalEntry | None, found: Running | Exit | None = None
    ) -> None:
        revision = self._assigned.revision_of(task)
        self._deps.runtime.expect_start()
        runner = TaskRunner(deps=self._deps, task=task, revision=revision, entry=entry, observed=found)
        self._runners[task.id] = runner
        self._deps.sharing.add(runner)
        running = group.create_task(runner.run(), name=f"task {task.id}")
        running.add_done_callback(partial(self._remove_runner, task.id, group))

    async def _apply(self, assignments: Assignments) -> None:
        epoch = self._assigned.epoch
        diff = self._assigned.apply(assignments)
        if self._assigned.epoch != epoch:
            self._deps.journal.write_epoch(self._assigned.epoch)
        self._deps.contents.apply(assignments, self._assigned.revisions.values())
        self._deps.volumes.apply(assignments)
        if diff.cluster:
            await self._deps.datapath.request(diff.cluster)
        fault("agent.assignments.accepted")
        if assignments.sequence:
            await self._deps.datapath.report_when_applied(assignments.sequence)
        for task_id, task in diff.tasks.items():
            if (runner := self._runners.get(task_id)) is None:
                continue
            if task is None:
                runner.unassign()
            else:
                if task.desired_state == TaskState.RUNNING != runner.task.desired_state:  # it was only made so far
                    self._deps.runtime.expect_start()
                runner.assign(task, self._assigned.revision_of(task))
        self._root_collector.apply(assignments)

    def _remove_runner(self, task_id: str, group: TaskGroup, running: "asyncio.Task[None]") -> None:
        if running.cancelled() or running.exception() is not None:
            return
        runner = self._runners.pop(task_id)
        self._deps.sharing.remove(runner.task)
        if runner.run_end.is_restarted:
            self._start_runner(runner.task, group, runner.journal_entry())
            if not runner.is_assigned:
                self._runners[task_id].unassign()
            return
        self._root_collector.wake()
        if task_id in self._assigned.tasks:
            # It was assigned again during its last step.
            self._incoming.put_nowait(Assignments())

    def _tasks(self) -> list[Task]:
        """All that are assigned, in the journal, or not forgotten yet."""
        recovered = (entry.task for entry, _ in self._recovered.values())
        return [*(runner.task for runner in self._runners.values()), *self._assigned.tasks.values(), *recovered]

    def _volumes_in_use(self) -> frozenset[VolumePart]:
        """The parts of volumes that containers on this node use, or will use once they start."""
        live = [runner.task for runner in self._runners.values() if not task_states.is_terminal(runner.status.state)]
        known = [(task, revision) for task in live if (revision := self._assigned.revision_of(task)) is not None]
        return frozenset(
            (mount.source, volume_slot(mount.volume, task.slot))
            for task, revision in known
            for mount in revision.spec.task.container.mounts
            if mount.type == Mount.VOLUME
        )

    def _mounted_volumes(self) -> frozenset[str]:
        """Ids of the volumes that containers on this node have mounted."""
        return frozenset().union(*(runner.mounted_volumes() for runner in self._runners.values()))

    async def _stop_disconnected(self) -> None:
        while True:
            seconds = self._deps.contact.seconds()
            for runner in self._runners.values():
                revision = self._assigned.revision_of(runner.task)
                if must_stop(revision, seconds):
                    runner.stop_disconnected(stop_reason(revision))
            await asyncio.sleep(CHECK_SECONDS)

    async def _collect_images(self) -> None:
        while True:
            await asyncio.sleep(GC_SECONDS)
            tasks = [runner for runner in self._runners.values() if not task_states.is_terminal(runner.status.state)]
            self._deps.journal.drop_unused_revisions(frozenset(_revisions(self._runners, self._assigned)))
            used = {runner.status.image_digest for runner in tasks} | set(self._deps.runtime.kept_roots().values())
            try:
                await self._images.collect_garbage(frozenset(used))
            except ShoalError as error:
                _log.warning("could not remove unused images: %s", error)


def _revisions(runners: Mapping[str, TaskRunner], assigned: AssignedState) -> list[str]:
    tasks: list[Task] = [runner.task for runner in runners.values()]
    return [revision_key(task) for task in (*tasks, *assigned.tasks.values())]
