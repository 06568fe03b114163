"""Containers on this host by an OCI runtime under conmon: the agent's `Runtime`."""

import asyncio
import logging
import os
import resource
import shutil
import socket
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from signal import SIGKILL
from types import TracebackType
from typing import Self

from agent.health.exec_pool import ExecResult
from agent.runtime.confinement.apparmor import AppArmor
from agent.runtime.confinement.compiled_filters import CompiledFilters, FilterCache, NoFilterCache, compiled_for
from agent.runtime.container_paths import ContainerPaths, ContainerRecord, OciProgram, read_record
from agent.runtime.exec.attach_session import AttachSession, AttachSessions
from agent.runtime.exec.exec_process import ExecProcess
from agent.runtime.exec.exec_starter import ExecStarter, kill_orphans
from agent.runtime.exec.exec_thread import ExecThread
from agent.runtime.exec.hook_exec import run_hook
from agent.runtime.exec.probe_exec import ProbeExecutor
from agent.runtime.host_facts import read_host_facts
from agent.runtime.kernel.cgroup_layout import mounted_kind, parse_layout
from agent.runtime.kernel.cgroups import Cgroups, ContainerStats
from agent.runtime.kernel.linux import MS_NODEV, MS_NOSUID, become_subreaper, mount, unmount
from agent.runtime.kernel.processes import mount_table
from agent.runtime.launch.cgroup_attach_lock import CgroupAttachLock, NoStartLock, StartLock
from agent.runtime.launch.launcher import Clock, Launcher, OnStep, no_step
from agent.runtime.launch.optimizations import ALL_OPTIMIZATIONS, Optimizations
from agent.runtime.launch.sealed_program import SealedProgram
from agent.runtime.logs.container_logs import ContainerLogs
from agent.runtime.logs.log_files import log_file_limits
from agent.runtime.logs.log_follower import LogFollower
from agent.runtime.network_join import join_network
from agent.runtime.rootfs.trash import Trash
from agent.runtime.spec.oci_spec import HostFacts
from agent.runtime.supervision.container_removal import has_more_than_logs, remove_container, supervision_processes
from agent.runtime.supervision.exit_watcher import ExitWatcher
from agent.worker.interfaces import ContainerRequest, Exit, OnExit, Running
from agent.worker.sandbox import Sandbox
from shoal.api.v1.container_pb2 import Hook
from shoal.api.v1.streams_pb2 import ExecStart
from shoal.errors import AlreadyExists, InvalidInput, NotFound, Unavailable
from shoal.signal_names import signal_number
from shoal.task_group import TaskGroup
from shoal.tree_removal import delete_trees

_log = logging.getLogger(__name__)

_TMPFS_SOURCE = "shoal-runtime"
_SWEEP_SECONDS = 1.0


class OciRuntime:
    """Containers that outlive this process. Use it as an async context manager; call `recover` first.

    On entering, the process becomes a child subreaper, and `run_directory` gets a tmpfs of its own unless it is one.
    On leaving, the containers keep running; `reset` removes everything.

    Args:
        state_directory: on disk: upper directories, logs, compiled filters. Created if missing.
        run_directory: bundles and runtime state. At most 60 characters; created if missing.
        cgroup_parent: absolute cgroup name below which each container has its own, "/shoal/<node id>".
        on_exit: called once for each exit, from the event loop; not for those that `recover` returns.
        clock: milliseconds since the Unix epoch.
        programs: OCI runtimes, the preferred first; the next one is used if one is absent or does not support the host.
        apparmor: of this host; None: detected, and the profile is not loaded before a container starts.
        hidden_mount: a mount of the host that is removed from containers' mount namespaces.
        cdi_directories: directories of CDI specs.
        hostname: the host's name for users.
        optimizations: shortcuts for faster starts.
        on_step: takes the duration of each step of each start, from worker threads; for benchmarks.

    Attributes:
        logs: as `ContainerLogs.read`.
    """

    def __init__(
        self,
        state_directory: Path,
        run_directory: Path,
        cgroup_parent: str,
        on_exit: OnExit,
        clock: Clock,
        *,
        programs: Sequence[str] = ("crun", "runc"),
        on_step: OnStep = no_step,
        apparmor: AppArmor | None = None,
        hidden_mount: Path | None = None,
        cdi_directories: Sequence[Path] = (),
        hostname: str = "this host",
        optimizations: Optimizations = ALL_OPTIMIZATIONS,
    ) -> None:
        self._paths = ContainerPaths(run=run_directory.absolute(), state=state_directory.absolute())
        self._layout = parse_layout(mount_table())
        self._cgroups = Cgroups(layout=self._layout, parent=cgroup_parent.rstrip("/"))
        self._on_exit = on_exit
        self._clock = clock
        self._programs = programs
        self._on_step = on_step
        self._apparmor = apparmor or AppArmor()
        self._hidden_mount = hidden_mount
        self._cdi_directories = cdi_directories
        self._hostname = hostname
        self._optimizations = optimizations
        self._records: dict[str, ContainerRecord] = {}
        self._exits: dict[str, asyncio.Future[Exit]] = {}
        self._starting: dict[str, asyncio.Event] = {}
        self._trash = Trash(self._paths.trash)
        self._attach_sessions = AttachSessions()
        self._exit_watcher = ExitWatcher(paths=self._paths, cgroups=self._cgroups, clock=clock, on_exit=self._ended)
        self.logs = ContainerLogs(directory=self._paths.logs, is_running=self._exit_watcher.is_running).read
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        """Raises Unavailable when conmon or the OCI runtimes are missing."""
        become_subreaper()
        await asyncio.to_thread(self._prepare)
        self._attach_lock: StartLock = (
            CgroupAttachLock(self._layout) if self._optimizations.cgroup_lock else NoStartLock()
        )
        self._stack.callback(self._attach_lock.close)
        programs = self._open_programs()
        host = read_host_facts(self._layout, has_apparmor=self._apparmor.is_supported)
        self._launcher = self._make_launcher(programs, host)
        self._stack.callback(self._launcher.close)
        self._exec_thread = ExecThread(paths=self._paths, hide=self._layout.hybrid_mount, programs=programs)
        self._stack.callback(self._exec_thread.close)
        self._probe_executor = ProbeExecutor(paths=self._paths, exec_thread=self._exec_thread)
        self._exec_starter = ExecStarter(paths=self._paths, exec_thread=self._exec_thread, available=host.capabilities)
        self._stack.callback(self._exit_watcher.close)
        self._log_follower = LogFollower()
        self._stack.callback(self._log_follower.close)
        group = await self._stack.enter_async_context(TaskGroup())
        for task in (group.create_task(self._sweep_execs()), group.create_task(self._trash.run())):
            self._stack.callback(task.cancel)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # The group of background tasks is only told of a cancellation: it would wrap the body's own exception.
        is_cancelled = kind is not None and issubclass(kind, asyncio.CancelledError)
        await self._stack.__aexit__(*((kind, error, trace) if is_cancelled else (None, None, None)))

    def expect_start(self) -> None:
        """As `Runtime.expect_start`."""
        self._attach_lock.expect_start()

    async def start(self, request: ContainerRequest) -> Running:
        """As `Runtime.start`; also raises AlreadyExists for a task that has a container."""
        task_id = request.task_id
        if task_id in self._records or task_id in self._starting:
            raise AlreadyExists(f"task {task_id} already has a container; remove it first")
        self._starting[task_id] = asyncio.Event()
        try:
            record = await self._launcher.start(request)
            self._adopt(record)
        finally:
            self._starting.pop(task_id).set()
        if self._exits[task_id].done():
            # It has exited already; the caller first learns that it ran.
            asyncio.get_running_loop().call_soon(self._on_exit, task_id, self._exits[task_id].result())
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
        if (starting := self._starting.get(task_id)) is not None:
            await starting.wait()
        if self._exit_watcher.is_running(task_id):
            await self.signal(task_id, "SIGKILL")
            await asyncio.shield(self._exits[task_id])
        if not (unfollowed := self._log_follower.remove(task_id)).done():
            await asyncio.wrap_future(unfollowed)
        try:
            await asyncio.to_thread(remove_container, self._paths, self._cgroups, task_id, keep_logs=keep_logs)
        except OSError as error:
            raise Unavailable(f"{error.filename}: {error.strerror}") from error
        self._records.pop(task_id, None)
        self._exits.pop(task_id, None)
        self._trash.wake()

    async def recover(self) -> Mapping[str, Running | Exit]:
        """As `Runtime.recover`. Incomplete containers and other remains of this agent are removed."""
        records = await asyncio.to_thread(self._find_records)
        found: dict[str, Running | Exit] = {}
        for record in records:
            task_id = record.task_id
            if task_id not in self._records:
                self._adopt(record)
            end = self._exits[task_id]
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
        record, end = self._running(task_id), self._exits[task_id]

        async def code() -> int:
            return (await asyncio.shield(end)).code

        bundle = self._paths.bundle(record.task_id)
        return self._attach_sessions.attach(
            bundle, code=code, send=lambda number: self._exit_watcher.send_signal(task_id, number)
        )

    def _running(self, task_id: str) -> ContainerRecord:
        if not self._exit_watcher.is_running(task_id):
            raise NotFound(f"task {task_id} is not running")
        return self._records[task_id]

    async def reset(self) -> None:
        """Remove every container and everything else of this agent on the host, including logs and the tmpfs."""
        for task_id in await asyncio.to_thread(self._known_tasks):
            await self.remove(task_id, keep_logs=False)
        await asyncio.to_thread(self._remove_everything)

    def _adopt(self, record: ContainerRecord) -> None:
        """Watch a container from now on; an exit that has already happened is recorded, but not reported."""
        self._records[record.task_id] = record
        self._exits[record.task_id] = asyncio.get_running_loop().create_future()
        end = self._exit_watcher.add(record)
        if end is not None:
            self._exits[record.task_id].set_result(end)
            return
        sizes = log_file_limits(record.log_bytes, record.log_files)
        paths = self._paths
        self._log_follower.add(record.task_id, paths.logs(record.task_id), sizes, bundle=paths.bundle(record.task_id))

    def _ended(self, task_id: str, end: Exit) -> None:
        self._exits[task_id].set_result(end)
        self._log_follower.remove(task_id)
        self._on_exit(task_id, end)

    def _prepare(self) -> None:
        # Two descriptors for each container; 1,024 are soon used up. Containers have limits of their own.
        limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
        run = self._paths.run
        run.mkdir(mode=0o700, parents=True, exist_ok=True)
        kind = mounted_kind(mount_table(), run)
        if kind is None or kind[0] != "tmpfs":
            mount(_TMPFS_SOURCE, str(run), "tmpfs", MS_NOSUID | MS_NODEV, "mode=0700")
        self._paths.create()

    def _open_programs(self) -> tuple[OciProgram, ...]:
        """The installed OCI runtimes; crun from memory, which starts faster."""
        found = [OciProgram(name, Path(path)) for name in self._programs if (path := shutil.which(name))]
        for place, program in enumerate(found):
            if program.name == "crun" and self._optimizations.sealed_program:
                sealed = SealedProgram(program.path, self._paths.programs / program.name)
                self._stack.callback(sealed.close)
                found[place] = OciProgram(program.name, sealed.path)
        return tuple(found)

    def _make_launcher(self, programs: tuple[OciProgram, ...], host: HostFacts) -> Launcher:
        conmon = shutil.which("conmon")
        if conmon is None or not programs:
            raise Unavailable("conmon and an OCI runtime (crun or runc) are required: apt-get install conmon crun")
        filters: FilterCache = NoFilterCache()
        if self._optimizations.compiled_filters:
            filters = CompiledFilters(directory=self._paths.filters, environment=compiled_for(programs[0].path))
        return Launcher(
            paths=self._paths,
            cgroups=self._cgroups,
            layout=self._layout,
            host=host,
            compiled_filters=filters,
            apparmor=self._apparmor,
            attach_lock=self._attach_lock,
            conmon=Path(conmon),
            programs=programs,
            clock=self._clock,
            on_step=self._on_step,
            start_fifo=self._optimizations.start_fifo,
            hidden_mount=self._hidden_mount,
            cdi_directories=self._cdi_directories,
            hostname=self._hostname,
        )

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
        for task_id in traces - self._starting.keys():
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
        kind = mounted_kind(mount_table(), self._paths.run)
        if kind == ("tmpfs", _TMPFS_SOURCE):
            unmount(self._paths.run)
        else:
            delete_trees(*(state.run / name for name in ("bundles", "exits", "programs", "crun", "runc")))

    async def _sweep_execs(self) -> None:
        while True:
            await asyncio.sleep(_SWEEP_SECONDS)
            if self._exec_thread.needs_sweep:
                await self._exec_thread.sweep()
