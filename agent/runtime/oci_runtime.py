"""Containers on this host by an OCI runtime under conmon: the agent's `Runtime`."""

import asyncio
import os
import socket
from collections.abc import Mapping
from pathlib import Path
from signal import SIGKILL

from agent.health.exec_pool import ExecResult
from agent.runtime.container_paths import TMPFS_SOURCE, ContainerPaths, ContainerRecord, read_record
from agent.runtime.container_table import ContainerTable
from agent.runtime.exec.attach_session import AttachSession
from agent.runtime.exec.exec_process import ExecProcess
from agent.runtime.exec.exec_starter import ExecStarter, kill_orphans
from agent.runtime.exec.exec_thread import ExecThread
from agent.runtime.exec.hook_exec import run_hook
from agent.runtime.exec.main_process import MainProcess
from agent.runtime.exec.probe_exec import ProbeExecutor
from agent.runtime.exec.waiting_attach import WaitingSession
from agent.runtime.kernel.cgroup_layout import mounted_kind
from agent.runtime.kernel.cgroups import Cgroups
from agent.runtime.kernel.linux import unmount
from agent.runtime.launch.cgroup_attach_lock import StartLock
from agent.runtime.launch.launcher import Launcher
from agent.runtime.launch.start_errors import disk_errors, disk_failures
from agent.runtime.live.network_access import NetworkAccess
from agent.runtime.live.pause import resume_briefly_paused
from agent.runtime.live.root_access import RootAccess
from agent.runtime.live.running_containers import RunningContainers
from agent.runtime.logs.container_logs import ContainerLogs
from agent.runtime.logs.log_files import log_file_limits
from agent.runtime.logs.log_follower import LogFollower
from agent.runtime.rootfs.access_record import write_access
from agent.runtime.rootfs.anonymous_volumes import anonymous_volumes
from agent.runtime.rootfs.kept_roots import KeptRoot, KeptRoots
from agent.runtime.rootfs.root_locks import ShardedLocks, complete_in_thread
from agent.runtime.rootfs.trash import Trash
from agent.runtime.rootfs.volume_record import write_volumes
from agent.runtime.supervision.container_removal import (
    has_more_than_logs,
    remove_container,
    remove_remains,
    supervision_processes,
)
from agent.runtime.supervision.exit_watcher import ExitWatcher
from agent.safe_paths.mountinfo import read_mountinfo
from agent.worker.container_runtime import ContainerRequest, Exit, Running
from agent.worker.interfaces import Image, MountSource
from agent.worker.root_origin import UNKNOWN_ORIGIN, RootOrigin
from shoal.api.v1.container_pb2 import ContainerSpec, Hook
from shoal.api.v1.streams_pb2 import ExecStart
from shoal.errors import InvalidInput, NotFound, Refused, ShoalError, Unavailable
from shoal.signal_names import signal_number
from shoal.tree_removal import delete_trees


class OciRuntime:
    """Containers that outlive this process. `open_runtime` makes one; call `recover` first.

    Attributes:
        logs: as `ContainerLogs.read`.
        open_root: as `RootAccess.open`.
        open_below: as `RootAccess.below`.
        stats, counters, processes, task_of, set_limits, set_paused, is_paused: as `RunningContainers` has them.
        join_network, open_network, set_addresses: as those of `Runtime`.
    """

    def __init__(
        self,
        *,
        paths: ContainerPaths,
        cgroups: Cgroups,
        containers: ContainerTable,
        launcher: Launcher,
        exec_thread: ExecThread,
        exec_starter: ExecStarter,
        probe_executor: ProbeExecutor,
        exit_watcher: ExitWatcher,
        log_follower: LogFollower,
        start_lock: StartLock,
        trash: Trash,
        kept_roots: KeptRoots,
        main_process: MainProcess,
        running: RunningContainers,
        roots: RootAccess,
    ) -> None:
        self._paths = paths
        self._cgroups = cgroups
        self._containers = containers
        self._launcher = launcher
        self._exec_thread = exec_thread
        self._exec_starter = exec_starter
        self._probe_executor = probe_executor
        self._exit_watcher = exit_watcher
        self._log_follower = log_follower
        self._start_lock = start_lock
        self._trash = trash
        self._kept_roots = kept_roots
        self._main_process = main_process
        self._running = running
        self.stats, self.counters, self.processes = running.stats, running.counters, running.processes
        self.task_of, self.set_limits = running.task_of, running.set_limits
        self.set_paused, self.is_paused = running.set_paused, running.is_paused
        self.open_root = roots.open
        self.open_below = roots.below
        self.find_root = roots.find
        network = NetworkAccess(paths, running.record)
        self.join_network, self.open_network = network.join, network.open
        self.set_addresses = network.set_addresses
        self._root_locks = ShardedLocks()
        self._container_logs = ContainerLogs(directory=self._log_directory, is_running=self._writes_log)
        self.logs = self._container_logs.read

    def expect_start(self) -> None:
        """As `Runtime.expect_start`."""
        self._start_lock.expect_start()

    async def start(self, request: ContainerRequest) -> Running:
        """As `Runtime.start`; also raises AlreadyExists for a task that has a container."""
        task_id = request.task_id
        with self._containers.begin_start(task_id):
            record = await self._launch(request)
            self._adopt(record)
            has_exited = self._containers.exit(task_id).done()
        await self._main_process.started(request.container_id, task_id)
        if has_exited:
            # It has exited already; the caller first learns that it ran.
            self._containers.report_exit_soon(task_id)
        return Running(record.pid, record.started_ms)

    async def _launch(self, request: ContainerRequest) -> ContainerRecord:
        if not request.container_id:
            return await self._launcher.start(request, self._running.record)
        await self._containers.hold(request.container_id, request.task_id)
        try:
            if request.container_id not in self._kept_roots.roots:
                raise Unavailable(f"container {request.container_id} has no root file system on this host")
            return await self._launcher.start(request, self._running.record)
        except BaseException as error:
            failure = error if isinstance(error, ShoalError) else Unavailable("the container was not started")
            self._main_process.waiting.failed(request.container_id, failure)
            if not self._paths.bundle(request.task_id).exists():  # otherwise `remove` has to complete it
                await self._containers.release(request.task_id)
            raise

    async def signal(self, task_id: str, signal: str) -> None:
        """As `Runtime.signal`. Raises InvalidInput for a name that is no signal."""
        if (number := signal_number(signal)) is None:
            raise InvalidInput(f"unknown signal {signal!r}; use a name such as SIGTERM")
        self._exit_watcher.send_signal(task_id, number)
        await asyncio.to_thread(self._cgroups.kill if number == SIGKILL else self._cgroups.thaw, task_id)

    async def remove(self, task_id: str, *, keep_logs: bool) -> None:
        """As `Runtime.remove`. The exit of a running container is reported before this returns.

        A start in progress is awaited first, so that the removal is complete.

        Raises:
            Unavailable: the host failed; a later call may succeed.
        """
        await self._containers.wait_started(task_id)
        if self._exit_watcher.is_running(task_id):
            await self.signal(task_id, "SIGKILL")
            await asyncio.shield(self._containers.exit(task_id))
        if not (unfollowed := self._log_follower.remove(task_id)).done():
            await asyncio.wrap_future(unfollowed)
        with disk_failures():
            await asyncio.to_thread(remove_container, self._paths, self._cgroups, task_id, keep_logs=keep_logs)
        await self._containers.remove(task_id)
        self._trash.wake()

    async def recover(self) -> Mapping[str, Running | Exit]:
        """As `Runtime.recover`. Incomplete containers and other remains of this agent are removed."""
        await asyncio.to_thread(self._kept_roots.load)
        records = await asyncio.to_thread(self._find_records)
        found: dict[str, Running | Exit] = {}
        for record in records:
            task_id = record.task_id
            if task_id not in self._containers:
                self._adopt(record)
            end = self._containers.exit(task_id)
            found[task_id] = end.result() if end.done() else Running(record.pid, record.started_ms)
        self._trash.wake()
        return found

    def kept_roots(self) -> Mapping[str, str]:
        """As `Runtime.kept_roots`."""
        return {container_id: root.image_digest for container_id, root in self._kept_roots.roots.items()}

    def root_origins(self) -> Mapping[str, RootOrigin]:
        """As `Runtime.root_origins`."""
        return dict(self._kept_roots.origins)

    async def set_root_origin(self, container_id: str, origin: RootOrigin) -> None:
        """As `Runtime.set_root_origin`."""
        async with self._root_locks.of(container_id):
            with disk_failures():
                await complete_in_thread(self._kept_roots.set_origin, container_id, origin)

    async def make_root(
        self, container_id: str, image: Image, *, volatile: bool, origin: RootOrigin = UNKNOWN_ORIGIN
    ) -> None:
        """As `Runtime.make_root`."""
        root = KeptRoot(image.digest, image.reference, tuple(map(str, image.layers)))
        async with self._root_locks.of(container_id), disk_errors(self._paths):
            await complete_in_thread(self._kept_roots.make, container_id, root, durable=not volatile, origin=origin)

    async def record_volumes(
        self, container_id: str, image: Image, spec: ContainerSpec, volumes: Mapping[str, MountSource]
    ) -> None:
        """As `Runtime.record_volumes`."""

        def record() -> None:
            root, mounts = self._paths.kept_root(container_id), spec.mounts
            write_volumes(root, mounts, {**volumes, **anonymous_volumes(mounts, image, root / "v", durable=True)})
            write_access(root, spec, image)

        async with self._root_locks.of(container_id), disk_errors(self._paths):
            await complete_in_thread(record)

    def never_started(self, container_id: str, reason: str) -> None:
        """As `Runtime.never_started`."""
        self._main_process.waiting.failed(container_id, Unavailable(reason))

    async def remove_root(self, container_id: str) -> None:
        """As `Runtime.remove_root`."""
        async with self._root_locks.of(container_id):
            if (task_id := self._containers.holder(container_id)) is not None:
                raise Unavailable(f"container {container_id} is still in use by its run {task_id}")
            if self._containers.is_copied(container_id):
                self._containers.end_copies(container_id)
                raise Unavailable(f"container {container_id} is still in use by a copy of its files")
            await self._container_logs.finish(container_id)
            with disk_failures():
                await complete_in_thread(self._kept_roots.remove, container_id)
            self._main_process.waiting.failed(container_id, NotFound(f"container {container_id} was removed"))
        self._trash.wake()

    def _log_directory(self, own_id: str) -> Path:
        """Of a task or of a container."""
        if own_id in self._kept_roots.roots:
            return self._paths.logs_of("", own_id)
        return self._paths.logs_of(own_id, self._containers.container_of(own_id))

    def _writes_log(self, own_id: str) -> bool:
        return self._exit_watcher.is_running(self._containers.holder(own_id) or own_id)

    async def execute(self, task_id: str, command: tuple[str, ...]) -> ExecResult:
        """As `agent.health.probes.ContainerAccess.execute`."""
        return await self._probe_executor.execute(self._running.record(task_id), command)

    async def open_socket(self, task_id: str, family: socket.AddressFamily) -> socket.socket:
        """As `agent.health.probes.ContainerAccess.open_socket`."""
        return await self._exec_thread.open_socket(self._running.record(task_id), family)

    async def start_exec(self, request: ExecStart) -> ExecProcess:
        """Run a user's program in a running container. As `ExecStarter.start`."""
        record = self._running.record(request.task)
        if await self.is_paused(record.task_id):  # it would be frozen too, and the caller wait for it
            raise Refused(f"task {record.task_id} is paused; resume it first")
        return await self._exec_starter.start(record, request)

    async def run_hook(self, task_id: str, hook: Hook) -> ExecResult:
        """As `Runtime.run_hook`."""
        return await run_hook(self.start_exec, task_id, hook)

    def attach(self, task_id: str) -> AttachSession:
        """Attach to a running container. As `AttachSessions.attach`."""
        return self._main_process.attach(self._running.record(task_id).task_id)

    def attach_at_start(self, container_id: str) -> AttachSession | WaitingSession:
        """Attach to a container before its program starts; at once if it is running."""
        task_id = self._containers.holder(container_id)
        if task_id is not None and self._exit_watcher.is_running(task_id):
            return self.attach(task_id)
        return self._main_process.waiting.wait(container_id)

    async def reset(self) -> None:
        """Remove every container and everything else of this agent on the host, including logs and the tmpfs."""
        for task_id in await asyncio.to_thread(self._known_tasks):
            await self.remove(task_id, keep_logs=False)
        self._kept_roots.clear()
        await asyncio.to_thread(self._remove_everything)

    def _adopt(self, record: ContainerRecord) -> None:
        """Watch a container from now on; an exit that has already happened is recorded, but not reported."""
        task_id = record.task_id
        self._containers.add(record)
        end = self._exit_watcher.add(record)
        if end is not None:
            self._containers.set_exit(task_id, end)
            return
        limits = log_file_limits(record.log_bytes, record.log_files)
        directory = self._paths.logs_of(task_id, record.container_id)
        self._log_follower.add(task_id, directory, limits, bundle=self._paths.bundle(task_id))

    def _known_tasks(self) -> set[str]:
        """Tasks of which anything exists on this host."""
        paths = self._paths
        bundles = {entry.name for entry in os.scandir(paths.bundles)}
        return bundles | paths.tasks_with_logs() | paths.tasks_with_upper() | self._cgroups.tasks()

    def _find_records(self) -> list[ContainerRecord]:
        """Records of complete containers; everything else except logs is removed."""
        records = []
        with_logs_only = self._paths.tasks_with_logs()
        traces = self._known_tasks() | set(supervision_processes(self._paths).values())
        for task_id in traces - self._containers.starting:
            record = read_record(self._paths.bundle(task_id))
            waits = self._paths.runtime_root(record.program) / task_id / "exec.fifo" if record else None
            if record is not None and waits is not None and not (record.program == "crun" and waits.exists()):
                kill_orphans(self._paths.bundle(task_id))
                resume_briefly_paused(self._cgroups, self._paths.bundle(task_id))
                records.append(record)
            elif task_id not in with_logs_only or has_more_than_logs(self._paths, self._cgroups, task_id):
                remove_remains(self._paths, self._cgroups, task_id)
        return records

    def _remove_everything(self) -> None:
        self._cgroups.remove_parent()
        state = self._paths
        delete_trees(state.uppers, state.kept, state.drafts, state.trash, state.logs_root, state.filters, state.base)
        kind = mounted_kind(read_mountinfo(), self._paths.run)
        if kind == ("tmpfs", TMPFS_SOURCE):
            unmount(self._paths.run)
        else:
            delete_trees(*(state.run / name for name in ("bundles", "exits", "programs", "crun", "runc")))
