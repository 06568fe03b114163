"""All tasks of this node: takes assignments, runs a `TaskRunner` for each, finds everything again after a restart."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Mapping
from functools import partial

from agent.disk_full import DiskFull
from agent.health.probes import Prober
from agent.journal.journal import Journal
from agent.worker.assigned import Assigned, revision_key
from agent.worker.cut_off import LOOK_SECONDS, CutOff, is_due, told
from agent.worker.datapath import Datapath
from agent.worker.disk_room import DiskRoom
from agent.worker.image_room import ImageRoom
from agent.worker.journal_keeper import JournalKeeper
from agent.worker.seams import Contents, Exit, Images, Networks, Part, Running, Runtime, Volumes
from agent.worker.sharing import Sharing
from agent.worker.task_runner import TaskRunner
from agent.worker.tools import Tools
from shoal import task_states
from shoal.api.v1.container_pb2 import Mount
from shoal.api.v1.dispatcher_pb2 import Assignments, NetworkAssignment
from shoal.api.v1.journal_pb2 import JournalEntry
from shoal.api.v1.task_pb2 import Task, TaskStatus
from shoal.errors import ShoalError
from shoal.task_group import TaskGroup
from shoal.templates import Node
from shoal.volume_parts import part_of

LONGEST_PAUSE_SECONDS = 10.0
"""Between attempts to start a container on a disk that has too little room for it, but some."""
COLLECT_SECONDS = 30.0
"""Between looks whether the disk runs short, and for what can go then."""

_log = logging.getLogger(__name__)


class Worker:
    """`exited` is the runtime's `OnExit`; `take` is the session's way in.

    Args:
        report: takes each new status of a task.
        node: this one, for templates.
        prober: makes health checks.
        parallel_starts: how many containers are prepared and started at once.
        host_resolv_conf: reads the node's own /etc/resolv.conf.
        tell_disk: takes what is wrong with the disk, one line; empty when nothing is.
        tell_images_disk, tell_containers_disk: the same, of the disks of images and of containers.
        lacks_room: whether the disk of containers is full.
    """

    def __init__(
        self,
        *,
        node: Node,
        prober: Prober,
        runtime: Runtime,
        images: Images,
        networks: Networks,
        journal: Journal,
        contents: Contents,
        volumes: Volumes,
        report: Callable[[TaskStatus], None],
        now_ms: Callable[[], int],
        host_resolv_conf: Callable[[], str],
        tell_disk: Callable[[str], None],
        tell_images_disk: Callable[[str], None],
        tell_containers_disk: Callable[[str], None],
        lacks_room: Callable[[], bool],
        parallel_starts: int = 4,
    ) -> None:
        self._runtime = runtime
        self._images = images
        self._networks = networks
        self._journal = journal
        self._keeper = JournalKeeper(journal, tell_disk)
        self._datapath = Datapath(networks=networks, journal=self._keeper)
        self._contents = contents
        self._volumes = volumes
        self._assigned = Assigned()
        self._runners: dict[str, TaskRunner] = {}
        self._sharing = Sharing(self._runners)
        self._incoming: asyncio.Queue[Assignments] = asyncio.Queue()
        self._kept: dict[str, tuple[JournalEntry, Running | Exit | None]] = {}
        self._early_exits: dict[str, Exit] = {}
        self._cut_off = CutOff()
        self._tools = Tools(
            node=node,
            prober=prober,
            runtime=runtime,
            images=ImageRoom(images, tell_images_disk),
            room=DiskRoom(
                refusal=DiskFull,
                lacks_room=lacks_room,
                tell=tell_containers_disk,
                longest_pause=LONGEST_PAUSE_SECONDS,
            ),
            networks=networks,
            datapath=self._datapath,
            journal=self._keeper,
            contents=self._contents,
            volumes=volumes,
            sharing=self._sharing,
            starts=asyncio.Semaphore(parallel_starts),
            report=report,
            network=self._network,
            host_resolv_conf=host_resolv_conf,
            now_ms=now_ms,
        )

    def take(self, assignments: Assignments) -> None:
        """What a manager sent; returns at once."""
        self._incoming.put_nowait(assignments)

    def in_touch(self, reached: bool) -> None:
        """Whether a manager is in reach."""
        self._cut_off.note(reached)

    def exited(self, task_id: str, end: Exit) -> None:
        """A container has ended."""
        if runner := self._runners.get(task_id):
            runner.exited(end)
        elif task_id in self._kept:
            self._early_exits[task_id] = end

    def statuses(self) -> list[TaskStatus]:
        """The last status of every task that was accepted, for a manager that may have missed some."""
        return [runner.status for runner in self._runners.values() if runner.status.state]

    def applications(self) -> AsyncGenerator[int]:
        """Numbers of the managers' messages, as the datapath comes to hold what they say."""
        return self._datapath.applications()

    def knows(self, task_id: str) -> bool:
        """Whether the task is, or was, this node's and is not forgotten."""
        return task_id in self._runners

    async def recover(self) -> None:
        """Adopt what the journal and the host agree on; remove containers that the journal does not know. Call it once.

        Raises:
            ShoalError: the host does not let this agent work at all.
        """
        kept = self._journal.load()
        found = await self._runtime.recover()
        for task_id in found.keys() - kept.entries.keys():
            _log.warning("container %s is not in the journal; it is removed", task_id)
            await self._runtime.remove(task_id, keep_logs=False)
        live = [entry.task for task_id, entry in kept.entries.items() if isinstance(found.get(task_id), Running)]
        await self._networks.recover(live)
        self._kept = {task_id: (entry, found.get(task_id)) for task_id, entry in kept.entries.items()}
        self._assigned = kept.assigned
        await self._datapath.begin(self._assigned.tables())
        _log.info("%d tasks in the journal, %d of them run", len(kept.entries), len(live))

    async def run(self) -> None:
        """Work until cancelled, after `recover`. Containers stay as they are."""
        async with TaskGroup() as group:
            group.create_task(self._datapath.run(), name="datapath")
            group.create_task(self._keeper.run(), name="journal")
            group.create_task(self._volumes.run(self._volumes_in_use, self._volumes_held), name="volumes")
            group.create_task(self._collect_images(), name="image collection")
            group.create_task(self._stop_what_is_cut_off(), name="managers out of reach")
            self._start_runners(group)
            for task_id, end in self._early_exits.items():
                self.exited(task_id, end)
            self._early_exits.clear()
            while True:
                await self._take(await self._incoming.get())
                self._start_runners(group)

    def _start_runners(self, group: TaskGroup) -> None:
        """One for each assigned task that has none; those of the journal go on where they were."""
        for task_id, task in self._assigned.tasks.items():
            if task_id not in self._runners:
                entry, found = self._kept.pop(task_id, (None, None))
                revision = self._assigned.revision_of(task)
                self._runtime.soon()
                runner = TaskRunner(tools=self._tools, task=task, revision=revision, entry=entry, found=found)
                self._runners[task_id] = runner
                self._sharing.add(task)
                running = group.create_task(runner.run(), name=f"task {task_id}")
                running.add_done_callback(partial(self._forget, task_id))

    async def _take(self, assignments: Assignments) -> None:
        taken = self._assigned.take(assignments)
        self._contents.take(assignments, self._assigned.revisions.values())
        self._volumes.take(assignments)
        if taken.tables:
            await self._datapath.wish(taken.tables)
        if assignments.sequence:
            await self._datapath.answer(assignments.sequence)
        for task_id, task in taken.tasks.items():
            if (runner := self._runners.get(task_id)) is None:
                continue
            if task is None:
                runner.unassign()
            else:
                runner.assign(task, self._assigned.revision_of(task))

    def _forget(self, task_id: str, running: "asyncio.Task[None]") -> None:
        if running.cancelled() or running.exception() is not None:
            return
        self._sharing.remove(self._runners.pop(task_id).task)
        if task_id in self._assigned.tasks:
            # It was assigned again while its last step was under way.
            self._incoming.put_nowait(Assignments())

    def _network(self, network_id: str) -> NetworkAssignment | None:
        return self._assigned.networks.get(network_id)

    def _volumes_in_use(self) -> frozenset[Part]:
        """The parts of volumes that containers here have, or will have as soon as they start."""
        live = [runner.task for runner in self._runners.values() if not task_states.is_terminal(runner.status.state)]
        known = [(task, revision) for task in live if (revision := self._assigned.revision_of(task)) is not None]
        return frozenset(
            (mount.source, part_of(mount.volume, task.slot))
            for task, revision in known
            for mount in revision.spec.task.container.mounts
            if mount.type == Mount.VOLUME
        )

    def _volumes_held(self) -> frozenset[str]:
        """Ids of the volumes that containers here have."""
        return frozenset().union(*(runner.held_volumes() for runner in self._runners.values()))

    async def _stop_what_is_cut_off(self) -> None:
        while True:
            seconds = self._cut_off.seconds()
            for runner in self._runners.values():
                revision = self._assigned.revision_of(runner.task)
                if is_due(revision, seconds):
                    runner.cut_off(told(revision))
            await asyncio.sleep(LOOK_SECONDS)

    async def _collect_images(self) -> None:
        while True:
            await asyncio.sleep(COLLECT_SECONDS)
            tasks = [runner for runner in self._runners.values() if not task_states.is_terminal(runner.status.state)]
            self._keeper.drop_unused_revisions(frozenset(_revisions(self._runners, self._assigned)))
            try:
                await self._images.collect(frozenset(runner.status.image_digest for runner in tasks))
            except ShoalError as error:
                _log.warning("unused images cannot be removed: %s", error)


def _revisions(runners: Mapping[str, TaskRunner], assigned: Assigned) -> list[str]:
    tasks: list[Task] = [runner.task for runner in runners.values()]
    return [revision_key(task) for task in (*tasks, *assigned.tasks.values())]
