"""Opens the runtime: the only place that constructs its parts."""

import asyncio
import resource
import shutil
from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from agent.runtime.confinement.apparmor import AppArmor
from agent.runtime.confinement.compiled_filters import CompiledFilters, FilterCache, NoFilterCache, compiled_for
from agent.runtime.container_paths import TMPFS_SOURCE, ContainerPaths, ContainerRecord, OciProgram
from agent.runtime.container_table import ContainerTable
from agent.runtime.exec.exec_starter import ExecStarter
from agent.runtime.exec.exec_thread import ExecThread
from agent.runtime.exec.main_process import MainProcess
from agent.runtime.exec.probe_exec import ProbeExecutor
from agent.runtime.host_facts import read_host_facts
from agent.runtime.kernel.cgroup_layout import CgroupLayout, mounted_kind, parse_layout
from agent.runtime.kernel.cgroups import Cgroups
from agent.runtime.kernel.linux import MS_NODEV, MS_NOSUID, become_subreaper, mount
from agent.runtime.launch.cgroup_attach_lock import CgroupAttachLock, NoStartLock, StartLock
from agent.runtime.launch.launcher import BeforeProgram, Clock, Launcher
from agent.runtime.launch.optimizations import ALL_OPTIMIZATIONS, Optimizations
from agent.runtime.launch.sealed_program import SealedProgram
from agent.runtime.launch.start_steps import OnStep, no_step
from agent.runtime.live.limits import LiveLimits
from agent.runtime.live.root_access import RootAccess
from agent.runtime.live.running_containers import RunningContainers
from agent.runtime.logs.log_follower import LogFollower
from agent.runtime.oci_runtime import OciRuntime
from agent.runtime.rootfs.kept_roots import KeptRoots
from agent.runtime.rootfs.trash import Trash
from agent.runtime.spec.oci_spec import HostFacts
from agent.runtime.supervision.exit_watcher import ExitWatcher
from agent.safe_paths.mountinfo import read_mountinfo
from agent.worker.container_runtime import Exit, OnExit
from shoal.errors import Unavailable
from shoal.oci_runtimes import RUNTIMES
from shoal.task_group import TaskGroup

_SWEEP_SECONDS = 1.0


@dataclass(frozen=True)
class RuntimeConfig:
    """Configuration of a runtime.

    Attributes:
        state_directory: on disk: upper directories, logs, compiled filters. Created if missing.
        run_directory: bundles and runtime state; gets a tmpfs of its own unless it is one. At most 60 characters;
            created if missing.
        cgroup_parent: absolute cgroup name below which each container has its own, "/shoal/<node id>".
        programs: OCI runtimes, the preferred first; the next one is used if one is absent or does not support the host.
        hidden_mount: a mount of the host that is removed from containers' mount namespaces.
        cdi_directories: directories of CDI specs.
        hostname: the host's name for users.
        optimizations: shortcuts for faster starts.
    """

    state_directory: Path
    run_directory: Path
    cgroup_parent: str
    programs: Sequence[str] = RUNTIMES
    hidden_mount: Path | None = None
    cdi_directories: Sequence[Path] = ()
    hostname: str = "this host"
    optimizations: Optimizations = ALL_OPTIMIZATIONS


@asynccontextmanager
async def open_runtime(
    config: RuntimeConfig,
    *,
    on_exit: OnExit,
    clock: Clock,
    apparmor: AppArmor | None = None,
    on_step: OnStep = no_step,
) -> AsyncGenerator[OciRuntime]:
    """The runtime, until the end of the context; then the containers keep running (`OciRuntime.reset` removes them).

    This process becomes a child subreaper.

    Args:
        on_exit: called once for each exit, from the event loop; not for those that `OciRuntime.recover` returns.
        clock: milliseconds since the Unix epoch.
        apparmor: of this host; None: detected, and the profile is not loaded before a container starts.
        on_step: takes the duration of each step of each start, from worker threads; for benchmarks.
    Raises:
        Unavailable: conmon or the OCI runtimes are missing.
    """
    stack = AsyncExitStack()
    try:
        yield await _open(stack, config, ContainerTable(on_exit), clock, apparmor or AppArmor(), on_step)
    except asyncio.CancelledError as error:
        # The background tasks are only told of a cancellation: their group would wrap any other exception.
        await stack.__aexit__(type(error), error, error.__traceback__)
        raise
    except BaseException:
        await stack.aclose()
        raise
    else:
        await stack.aclose()


async def _open(
    stack: AsyncExitStack,
    config: RuntimeConfig,
    containers: ContainerTable,
    clock: Clock,
    apparmor: AppArmor,
    on_step: OnStep,
) -> OciRuntime:
    """Construct the parts in the order in which they depend on each other; `stack` closes them."""
    become_subreaper()
    paths = ContainerPaths(run=config.run_directory.absolute(), state=config.state_directory.absolute())
    layout = parse_layout(read_mountinfo())
    cgroups = Cgroups(layout=layout, parent=config.cgroup_parent.rstrip("/"))
    await asyncio.to_thread(_prepare, paths)
    start_lock: StartLock = CgroupAttachLock(layout) if config.optimizations.cgroup_lock else NoStartLock()
    stack.callback(start_lock.close)
    programs = _open_programs(stack, config, paths)
    host = read_host_facts(layout, has_apparmor=apparmor.is_supported)
    log_follower = LogFollower()
    stack.callback(log_follower.close)

    def exited(task_id: str, end: Exit) -> None:
        log_follower.remove(task_id)
        containers.report_exit(task_id, end)

    exit_watcher = ExitWatcher(paths=paths, cgroups=cgroups, clock=clock, on_exit=exited)
    stack.callback(exit_watcher.close)
    main_process = MainProcess(paths=paths, containers=containers, exit_watcher=exit_watcher)
    launcher = _launcher(
        config,
        paths=paths,
        cgroups=cgroups,
        layout=layout,
        host=host,
        programs=programs,
        start_lock=start_lock,
        apparmor=apparmor,
        clock=clock,
        on_step=on_step,
        before_program=main_process.waiting.before_program,
    )
    stack.callback(launcher.close)
    exec_thread = ExecThread(paths=paths, hide=layout.hybrid_mount, programs=programs)
    stack.callback(exec_thread.close)
    kept_roots = KeptRoots(paths, on_step)

    def running(own_id: str) -> ContainerRecord | None:
        task_id = containers.holder(own_id) or own_id
        return containers.record(task_id) if exit_watcher.is_running(task_id) else None

    roots = RootAccess(paths=paths, containers=containers, running=running, kept=lambda: kept_roots.roots)
    stack.callback(roots.close)
    trash = Trash(paths.trash)
    group = await stack.enter_async_context(TaskGroup())
    for task in (group.create_task(_sweep_execs(exec_thread)), group.create_task(trash.run())):
        stack.callback(task.cancel)
    return OciRuntime(
        paths=paths,
        cgroups=cgroups,
        containers=containers,
        launcher=launcher,
        exec_thread=exec_thread,
        kept_roots=kept_roots,
        roots=roots,
        main_process=main_process,
        running=RunningContainers(
            paths=paths,
            cgroups=cgroups,
            containers=containers,
            exit_watcher=exit_watcher,
            limits=LiveLimits(paths=paths, cgroups=cgroups, exec_thread=exec_thread, host=host),
        ),
        exec_starter=ExecStarter(paths=paths, exec_thread=exec_thread, available=host.capabilities),
        probe_executor=ProbeExecutor(paths=paths, exec_thread=exec_thread),
        exit_watcher=exit_watcher,
        log_follower=log_follower,
        start_lock=start_lock,
        trash=trash,
    )


def _prepare(paths: ContainerPaths) -> None:
    """Raise the limit of open files; create directories and the tmpfs. Raises Unavailable: the host refuses."""
    # Two descriptors for each container; 1,024 are soon used up. Containers have limits of their own.
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
    try:
        paths.run.mkdir(mode=0o700, parents=True, exist_ok=True)
        kind = mounted_kind(read_mountinfo(), paths.run)
        if kind is None or kind[0] != "tmpfs":
            mount(TMPFS_SOURCE, str(paths.run), "tmpfs", MS_NOSUID | MS_NODEV, "mode=0700")
        paths.create()
    except OSError as error:
        raise Unavailable(
            f"cannot prepare {error.filename or paths.state}: {error.strerror}; the agent needs to write "
            f"in {paths.run} and {paths.state}"
        ) from error


def _open_programs(stack: AsyncExitStack, config: RuntimeConfig, paths: ContainerPaths) -> tuple[OciProgram, ...]:
    """The installed OCI runtimes; crun from memory, which starts faster."""
    found = [OciProgram(name, Path(path)) for name in config.programs if (path := shutil.which(name))]
    for place, program in enumerate(found):
        if program.name == "crun" and config.optimizations.sealed_program:
            sealed = SealedProgram(program.path, paths.programs / program.name)
            stack.callback(sealed.close)
            found[place] = OciProgram(program.name, sealed.path)
    return tuple(found)


def _launcher(
    config: RuntimeConfig,
    *,
    paths: ContainerPaths,
    cgroups: Cgroups,
    layout: CgroupLayout,
    host: HostFacts,
    programs: tuple[OciProgram, ...],
    start_lock: StartLock,
    apparmor: AppArmor,
    clock: Clock,
    on_step: OnStep,
    before_program: BeforeProgram,
) -> Launcher:
    conmon = shutil.which("conmon")
    if conmon is None or not programs:
        raise Unavailable("conmon and an OCI runtime (crun or runc) are required: apt-get install conmon crun")
    filters: FilterCache = NoFilterCache()
    if config.optimizations.compiled_filters:
        filters = CompiledFilters(directory=paths.filters, environment=compiled_for(programs[0].path))
    return Launcher(
        paths=paths,
        cgroups=cgroups,
        layout=layout,
        host=host,
        compiled_filters=filters,
        apparmor=apparmor,
        start_lock=start_lock,
        conmon=Path(conmon),
        programs=programs,
        clock=clock,
        on_step=on_step,
        before_program=before_program,
        start_fifo=config.optimizations.start_fifo,
        hidden_mount=config.hidden_mount,
        cdi_directories=config.cdi_directories,
        hostname=config.hostname,
    )


async def _sweep_execs(exec_thread: ExecThread) -> None:
    while True:
        await asyncio.sleep(_SWEEP_SECONDS)
        if exec_thread.needs_sweep:
            await exec_thread.sweep()
