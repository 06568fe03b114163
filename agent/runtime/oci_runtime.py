"""Containers on this host by an OCI runtime under conmon: the agent's `Runtime`."""

import asyncio
import os
import socket
from collections.abc import Iterable, Mapping
from signal import SIGKILL

from agent.health.exec_pool import ExecResult
from agent.runtime.container_paths import TMPFS_SOURCE, ContainerPaths, ContainerRecord, read_record
from agent.runtime.container_table import ContainerTable
from agent.runtime.exec.attach_session import AttachSession, AttachSessions
from agent.runtime.exec.exec_process import ExecProcess
from agent.runtime.exec.exec_starter import ExecStarter, kill_orphans
from agent.runtime.exec.exec_thread import ExecThread
from agent.runtime.exec.hook_exec import run_hook
from agent.runtime.exec.probe_exec import ProbeExecutor
from agent.runtime.kernel.cgroup_layout import mounted_kind
from agent.runtime.kernel.cgroups import Cgroups, ContainerStats
from agent.runtime.kernel.linux import unmount
from agent.runtime.launch.cgroup_attach_lock import StartLock
from agent.runtime.launch.launcher import Launcher
from agent.runtime.logs.container_logs import ContainerLogs
from agent.runtime.logs.log_files import log_file_limits
from agent.runtime.logs.log_follower import LogFollower
from agent.runtime.network_join import join_network
from agent.runtime.rootfs.trash import Trash
from agent.runtime.supervision.container_removal import has_more_than_logs, remove_container, supervision_processes
from agent.runtime.supervision.exit_watcher import ExitWatcher
from agent.safe_paths.mountinfo import read_mountinfo
from agent.worker.interfaces import ContainerRequest, Exit, Running
from agent.worker.sandbox import Sandbox
from shoal.api.v1.container_pb2 import Hook
from shoal.api.v1.streams_pb2 import ExecStart
from shoal.errors import InvalidInput, NotFound, Unavailable
from shoal.signal_names import signal_number
from shoal.tree_removal import delete_trees


class OciRuntime:
    """Containers that outlive this process. `open_runtime` makes one; call `recover` first.

    Attributes:
        logs: as `ContainerLogs.read`.
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
        self._attach_sessions = AttachSessions()
        self.logs = ContainerLogs(directory=paths.logs, is_running=exit_watcher.is_running).read

    def expect_start(self) -> None:
        """As `Runtime.expect_start`."""
        self._start_lock.expect_start()

    async def start(self, request: ContainerRequest) -> Running:
        """As `Runtime.start`; also raises AlreadyExists for a task that has a container."""
        task_id = request.task_id
        with self._containers.begin_start(task_id):
            record = await self._launcher.start(request)
            self._adopt(record)
        if self._containers.exit(task_id).done():
            # It has exited already; the caller first learns that it ran.
            self._containers.report_exit_soon(task_id)
        return Running(record.pid, record.started_ms)

    async def signal(self, task_id: str, signal: str) -> None:
        """As `Runtime.signal`. Raises InvalidInput for a name that is no signal."""
        if (number := signal_number(signal)) is None:
            raise InvalidInput(f"unknown signal {signal!r}; use a name such as SIGTERM")
        self._exit_watcher.send_signal(task_id, number)
        if number == SIGKILL:
            await asyncio.to_thread(self._cgroups.kill, task_id)

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
        try:
            await asyncio.to_thread(remove_container, self._paths, self._cgroups, task_id, keep_logs=keep_logs)
        except OSError as error:
            raise Unavailable(f"{error.filename}: {error.strerror}") from error
        self._containers.remove(task_id)
        self._trash.wake()

    async def recover(self) -> Mapping[str, Running | Exit]:
        """As `Runtime.recover`. Incomplete containers and other remains of this agent are removed."""
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

    async def stats(self, task_ids: Iterable[str]) -> Mapping[str, ContainerStats]:
        """Current usage of these containers; unknown ones are omitted."""
        desired = tuple(task_ids)
        read = await asyncio.to_thread(lambda: [(task_id, self._cgroups.stats(task_id)) for task_id in desired])
        return {task_id: stats for task_id, stats in read if stats is not None}

    async def execute(self, task_id: str, command: tuple[str, ...]) -> ExecResult:
        """As `agent.health.probes.ContainerAccess.execute`."""
        return await self._probe_executor.execute(self._running(task_id), command)

    async def open_socket(self, task_id: str, family: socket.AddressFamily) -> socket.socket:
        """As `agent.health.probes.ContainerAccess.open_socket`."""
        return await self._exec_thread.open_socket(self._running(task_id), family)

    async def start_exec(self, request: ExecStart) -> ExecProcess | None:
        """Run a user's program in a running container. As `ExecStarter.start`."""
        return await self._exec_starter.start(self._running(request.task), request)

    async def join_network(self, task_id: str) -> Sandbox:
        """As `Runtime.join_network`."""
        return await asyncio.to_thread(join_network, self._paths, self._running(task_id))

    async def run_hook(self, task_id: str, hook: Hook) -> ExecResult:
        """As `Runtime.run_hook`."""
        return await run_hook(self.start_exec, task_id, hook)

    def attach(self, task_id: str) -> AttachSession:
        """Attach to a running container. As `AttachSessions.attach`."""
        record, end = self._running(task_id), self._containers.exit(task_id)

        async def code() -> int:
            return (await asyncio.shield(end)).code

        bundle = self._paths.bundle(record.task_id)
        return self._attach_sessions.attach(
            bundle, code=code, send=lambda number: self._exit_watcher.send_signal(task_id, number)
        )

    def _running(self, task_id: str) -> ContainerRecord:
        if not self._exit_watcher.is_running(task_id):
            raise NotFound(f"task {task_id} is not running")
        return self._containers.record(task_id)

    async def reset(self) -> None:
        """Remove every container and everything else of this agent on the host, including logs and the tmpfs."""
        for task_id in await asyncio.to_thread(self._known_tasks):
            await self.remove(task_id, keep_logs=False)
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
        self._log_follower.add(task_id, self._paths.logs(task_id), limits, bundle=self._paths.bundle(task_id))

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
                records.append(record)
            elif task_id not in with_logs_only or has_more_than_logs(self._paths, self._cgroups, task_id):
                remove_container(self._paths, self._cgroups, task_id, keep_logs=True)
        return records

    def _remove_everything(self) -> None:
        self._cgroups.remove_parent()
        state = self._paths
        delete_trees(state.uppers, state.trash, state.logs_root, state.filters, state.base)
        kind = mounted_kind(read_mountinfo(), self._paths.run)
        if kind == ("tmpfs", TMPFS_SOURCE):
            unmount(self._paths.run)
        else:
            delete_trees(*(state.run / name for name in ("bundles", "exits", "programs", "crun", "runc")))
