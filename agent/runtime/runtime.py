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

from agent.health.executions import Execution
from agent.runtime.attach_lock import AttachLock
from agent.runtime.attached import Attached, Watchers
from agent.runtime.cgroup_layout import mounted_kind, parse_layout
from agent.runtime.cgroups import Cgroups, Stats
from agent.runtime.confinement.apparmor import AppArmor
from agent.runtime.confinement.filters import Filters, compiled_for
from agent.runtime.conmon import Program
from agent.runtime.entering import Entrance
from agent.runtime.exec_process import ExecProcess
from agent.runtime.exec_start import ExecStarter, end_leftovers
from agent.runtime.execution import Executor
from agent.runtime.exits import ExitWatch
from agent.runtime.hooks import run_hook
from agent.runtime.host_facts import read_host_facts
from agent.runtime.joining import join
from agent.runtime.launcher import Clock, Launcher, OnStep, no_step
from agent.runtime.linux import MS_NODEV, MS_NOSUID, become_subreaper, mount, unmount
from agent.runtime.log_pieces import piece_sizes
from agent.runtime.logs import Logs
from agent.runtime.oci_spec import HostFacts
from agent.runtime.places import Places, Record, read_record
from agent.runtime.processes import mount_table
from agent.runtime.rotation import LogKeeper
from agent.runtime.scrap import has_more_than_logs, scrap, supervision_processes
from agent.runtime.sealed import SealedProgram
from agent.runtime.trash import Trash
from agent.worker.sandbox import Sandbox
from agent.worker.seams import ContainerRequest, Exit, OnExit, Running
from shoal.api.v1.container_pb2 import Hook
from shoal.api.v1.streams_pb2 import ExecStart
from shoal.errors import AlreadyExists, InvalidInput, NotFound, Unavailable
from shoal.signal_names import number_of
from shoal.task_group import TaskGroup
from shoal.trees import delete_trees

_log = logging.getLogger(__name__)

_TMPFS_SOURCE = "shoal-runtime"
_TIDY_SECONDS = 1.0


class OciRuntime:
    """Containers that outlive this process. Use it as an async context manager; call `recover` first.

    On entering, the process becomes a child subreaper, and `run_directory` gets a tmpfs of its own unless it is one.
    On leaving, the containers go on; `reset` is what removes everything.

    Args:
        state_directory: on disk: what containers write, logs, compiled filters. Made when it is missing.
        run_directory: bundles and runtime state. At most 60 characters; made when it is missing.
        cgroup_parent: absolute cgroup name below which each container has its own, "/shoal/<node id>".
        on_exit: told each end once, from the event loop; not those that `recover` returns.
        clock: milliseconds since the Unix epoch.
        programs: OCI runtimes, the preferred first; the next one is taken where one is absent or refuses the host.
        apparmor: of this host; None: it is looked for, and nothing is loaded before a container starts.
        host_only: a mount of the host that no container's mount namespace is to keep.
        cdi_directories: where specs of the Container Device Interface lie.
        hostname: what users call the host.
        on_step: told the seconds of each step of each start, from worker threads; for measuring.

    Attributes:
        logs: as `Logs.read`.
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
        host_only: Path | None = None,
        cdi_directories: Sequence[Path] = (),
        hostname: str = "this host",
    ) -> None:
        self._places = Places(run=run_directory.absolute(), state=state_directory.absolute())
        self._layout = parse_layout(mount_table())
        self._cgroups = Cgroups(layout=self._layout, parent=cgroup_parent.rstrip("/"))
        self._on_exit = on_exit
        self._clock = clock
        self._programs = programs
        self._on_step = on_step
        self._apparmor = apparmor or AppArmor()
        self._host_only = host_only
        self._cdi_directories = cdi_directories
        self._hostname = hostname
        self._records: dict[str, Record] = {}
        self._ends: dict[str, asyncio.Future[Exit]] = {}
        self._starting: dict[str, asyncio.Event] = {}
        self._trash = Trash(self._places.trash)
        self._watchers = Watchers()
        self._watch = ExitWatch(places=self._places, cgroups=self._cgroups, clock=clock, on_end=self._ended)
        self.logs = Logs(directory=self._places.logs, running=self._watch.running).read
        self._life = AsyncExitStack()

    async def __aenter__(self) -> Self:
        """Raises Unavailable when conmon or the OCI runtimes are missing."""
        become_subreaper()
        await asyncio.to_thread(self._prepare)
        self._attach_lock = AttachLock(self._layout)
        self._life.callback(self._attach_lock.close)
        programs = self._open_programs()
        host = read_host_facts(self._layout, has_apparmor=self._apparmor.is_supported)
        self._launcher = self._make_launcher(programs, host)
        self._life.callback(self._launcher.close)
        self._entrance = Entrance(places=self._places, hide=self._layout.hybrid_mount, programs=programs)
        self._life.callback(self._entrance.close)
        self._executor = Executor(places=self._places, entrance=self._entrance)
        self._starter = ExecStarter(places=self._places, entrance=self._entrance, available=host.capabilities)
        self._life.callback(self._watch.close)
        self._log_keeper = LogKeeper()
        self._life.callback(self._log_keeper.close)
        group = await self._life.enter_async_context(TaskGroup())
        for task in (group.create_task(self._tidy()), group.create_task(self._trash.keep_empty())):
            self._life.callback(task.cancel)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # The group of background tasks is told of cancellation alone: it would wrap the body's own exception.
        is_cancelled = kind is not None and issubclass(kind, asyncio.CancelledError)
        await self._life.__aexit__(*((kind, error, trace) if is_cancelled else (None, None, None)))

    def soon(self) -> None:
        """As `Runtime.soon`."""
        self._attach_lock.soon()

    async def start(self, request: ContainerRequest) -> Running:
        """As `Runtime.start`; also raises AlreadyExists for a task that has a container."""
        task_id = request.task_id
        if task_id in self._records or task_id in self._starting:
            raise AlreadyExists(f"task {task_id} has a container already; remove it first")
        self._starting[task_id] = asyncio.Event()
        try:
            record = await self._launcher.start(request)
            self._adopt(record)
        finally:
            self._starting.pop(task_id).set()
        if self._ends[task_id].done():
            # It was faster than this process; the caller first learns that it ran.
            asyncio.get_running_loop().call_soon(self._on_exit, task_id, self._ends[task_id].result())
        return Running(record.pid, record.started_ms)

    async def signal(self, task_id: str, signal: str) -> None:
        """As `Runtime.signal`. Raises InvalidInput for a name that is no signal."""
        if (number := number_of(signal)) is None:
            raise InvalidInput(f"{signal!r} is no signal; write it like SIGTERM")
        self._watch.send(task_id, number)
        if number == SIGKILL:
            await asyncio.to_thread(self._cgroups.kill, task_id)

    async def remove(self, task_id: str, *, keep_logs: bool) -> None:
        """As `Runtime.remove`. The end of a container that still ran is told before this returns.

        A start under way is awaited first: nobody meets a half-made container, and none comes after its removal.

        Raises:
            Unavailable: the host refuses some of it; calling it again later may do.
        """
        if (starting := self._starting.get(task_id)) is not None:
            await starting.wait()
        if self._watch.running(task_id):
            await self.signal(task_id, "SIGKILL")
            await asyncio.shield(self._ends[task_id])
        if not (unfollowed := self._log_keeper.drop(task_id)).done():
            await asyncio.wrap_future(unfollowed)
        try:
            await asyncio.to_thread(scrap, self._places, self._cgroups, task_id, keep_logs=keep_logs)
        except OSError as error:
            raise Unavailable(f"{error.filename}: {error.strerror}") from error
        self._records.pop(task_id, None)
        self._ends.pop(task_id, None)
        self._trash.wake()

    async def recover(self) -> Mapping[str, Running | Exit]:
        """As `Runtime.recover`. Half-made containers and whatever else carries our names is removed."""
        records = await asyncio.to_thread(self._find)
        found: dict[str, Running | Exit] = {}
        for record in records:
            task_id = record.task_id
            if task_id not in self._records:
                self._adopt(record)
            end = self._ends[task_id]
            found[task_id] = end.result() if end.done() else Running(record.pid, record.started_ms)
        self._trash.wake()
        return found

    async def stats(self, task_ids: Iterable[str]) -> Mapping[str, Stats]:
        """What these containers use now; those that have none are left out."""
        wanted = tuple(task_ids)
        read = await asyncio.to_thread(lambda: [(task_id, self._cgroups.stats(task_id)) for task_id in wanted])
        return {task_id: stats for task_id, stats in read if stats is not None}

    async def execute(self, task_id: str, words: tuple[str, ...]) -> Execution:
        """As `Containers.execute` of the health checks."""
        return await self._executor.execute(self._running(task_id), words)

    async def open_socket(self, task_id: str, family: socket.AddressFamily) -> socket.socket:
        """As `Containers.open_socket` of the health checks."""
        return await self._entrance.open_socket(self._running(task_id), family)

    async def run_in(self, wanted: ExecStart) -> ExecProcess | None:
        """A user's program in a container that runs. As `ExecStarter.start`."""
        return await self._starter.start(self._running(wanted.task), wanted)

    async def join(self, task_id: str) -> Sandbox:
        """As `Runtime.join`."""
        return await asyncio.to_thread(join, self._places, self._running(task_id))

    async def run_hook(self, task_id: str, hook: Hook) -> Execution:
        """As `Runtime.run_hook`."""
        return await run_hook(self.run_in, task_id, hook)

    def attach(self, task_id: str) -> Attached:
        """To a container that runs. As `Watchers.attach`."""
        record, end = self._running(task_id), self._ends[task_id]

        async def code() -> int:
            return (await asyncio.shield(end)).code

        bundle = self._places.bundle(record.task_id)
        return self._watchers.attach(bundle, code=code, send=lambda number: self._watch.send(task_id, number))

    def _running(self, task_id: str) -> Record:
        if not self._watch.running(task_id):
            raise NotFound(f"task {task_id} does not run")
        return self._records[task_id]

    async def reset(self) -> None:
        """Remove every container and everything else of ours on this host, logs and the tmpfs included."""
        for task_id in await asyncio.to_thread(self._known):
            await self.remove(task_id, keep_logs=False)
        await asyncio.to_thread(self._remove_everything)

    def _adopt(self, record: Record) -> None:
        """Watch a container from now on; one that has ended is known as such, and not told again."""
        self._records[record.task_id] = record
        self._ends[record.task_id] = asyncio.get_running_loop().create_future()
        end = self._watch.add(record)
        if end is not None:
            self._ends[record.task_id].set_result(end)
            return
        sizes = piece_sizes(record.log_bytes, record.log_files)
        places = self._places
        self._log_keeper.add(record.task_id, places.logs(record.task_id), sizes, bundle=places.bundle(record.task_id))

    def _ended(self, task_id: str, end: Exit) -> None:
        self._ends[task_id].set_result(end)
        self._log_keeper.drop(task_id)
        self._on_exit(task_id, end)

    def _prepare(self) -> None:
        # Two descriptors for each container; 1,024 are soon used up. Containers have limits of their own.
        most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
        run = self._places.run
        run.mkdir(mode=0o700, parents=True, exist_ok=True)
        kind = mounted_kind(mount_table(), run)
        if kind is None or kind[0] != "tmpfs":
            mount(_TMPFS_SOURCE, str(run), "tmpfs", MS_NOSUID | MS_NODEV, "mode=0700")
        self._places.make()

    def _open_programs(self) -> tuple[Program, ...]:
        """The OCI runtimes that are installed; crun in the form in which it starts quickest."""
        found = [Program(name, Path(path)) for name in self._programs if (path := shutil.which(name))]
        for place, program in enumerate(found):
            if program.name == "crun":
                sealed = SealedProgram(program.path, self._places.programs / program.name)
                self._life.callback(sealed.close)
                found[place] = Program(program.name, sealed.path)
        return tuple(found)

    def _make_launcher(self, programs: tuple[Program, ...], host: HostFacts) -> Launcher:
        conmon = shutil.which("conmon")
        if conmon is None or not programs:
            raise Unavailable("conmon, and crun or runc, are needed to run containers: apt-get install conmon crun")
        filters = Filters(directory=self._places.filters, environment=compiled_for(programs[0].path))
        return Launcher(
            places=self._places,
            cgroups=self._cgroups,
            layout=self._layout,
            host=host,
            filters=filters,
            apparmor=self._apparmor,
            attach_lock=self._attach_lock,
            conmon=Path(conmon),
            programs=programs,
            clock=self._clock,
            on_step=self._on_step,
            host_only=self._host_only,
            cdi_directories=self._cdi_directories,
            hostname=self._hostname,
        )

    def _known(self) -> set[str]:
        """Tasks of which anything is on this host."""
        places = self._places
        bundles = {entry.name for entry in os.scandir(places.bundles)}
        return bundles | places.tasks_with_logs() | places.tasks_with_upper() | self._cgroups.tasks()

    def _find(self) -> list[Record]:
        """Records of whole containers; the rest is scrapped, but for the logs."""
        records = []
        with_logs_only = self._places.tasks_with_logs()
        traces = self._known() | set(supervision_processes(self._places).values())
        for task_id in traces - self._starting.keys():
            record = read_record(self._places.bundle(task_id))
            waits = self._places.runtime_root(record.program) / task_id / "exec.fifo" if record else None
            if record is not None and waits is not None and not (record.program == "crun" and waits.exists()):
                end_leftovers(self._places.bundle(task_id))
                records.append(record)
            elif task_id not in with_logs_only or has_more_than_logs(self._places, self._cgroups, task_id):
                scrap(self._places, self._cgroups, task_id, keep_logs=True)
        return records

    def _remove_everything(self) -> None:
        self._cgroups.remove_parent()
        state = self._places
        delete_trees(state.uppers, state.trash, state.logs_root, state.filters, state.base)
        kind = mounted_kind(mount_table(), self._places.run)
        if kind == ("tmpfs", _TMPFS_SOURCE):
            unmount(self._places.run)
        else:
            delete_trees(*(state.run / name for name in ("bundles", "exits", "programs", "crun", "runc")))

    async def _tidy(self) -> None:
        while True:
            await asyncio.sleep(_TIDY_SECONDS)
            if self._entrance.is_untidy:
                await self._entrance.sweep()
