"""The start path: from a request to a running container, in a worker thread. The only programs run are conmon and
crun."""

import asyncio
import json
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import NamedTuple

from agent.cdi import cdi_registry
from agent.cdi.spec_document import Edits
from agent.runtime.confinement.apparmor import AppArmor
from agent.runtime.confinement.compiled_filters import FilterCache, verify_filtered
from agent.runtime.container_paths import KEPT_MARK, ContainerPaths, ContainerRecord, OciProgram, write_record
from agent.runtime.kernel.cgroup_layout import CgroupLayout
from agent.runtime.kernel.cgroups import Cgroups
from agent.runtime.kernel.linux import CLONE_FS, unshare
from agent.runtime.kernel.processes import process_start_time
from agent.runtime.launch.bind_sources import check_bind_sources, file_mounts
from agent.runtime.launch.cgroup_attach_lock import StartLock
from agent.runtime.launch.joined_namespaces import (
    NOTHING_JOINED,
    JoinedNamespaces,
    joined_namespaces,
    mount_shared_memory,
)
from agent.runtime.launch.program_start import ProgramStart, StartByCommand, StartByFifo
from agent.runtime.launch.start_errors import full_disk, start_error
from agent.runtime.launch.start_steps import OnStep, StartSteps
from agent.runtime.logs.log_files import log_file_limits
from agent.runtime.logs.rotated_log import link_first_file
from agent.runtime.rootfs.access_record import write_access
from agent.runtime.rootfs.anonymous_volumes import with_anonymous_volumes
from agent.runtime.rootfs.mounted_files import mount_etc_files, mount_files
from agent.runtime.rootfs.overlay_mount import mount_overlay, private_mounts, read_in_root
from agent.runtime.rootfs.volume_mounts import mount_volumes, unmount_here
from agent.runtime.rootfs.volume_record import write_volumes
from agent.runtime.spec.cdi_edits import apply_edits, device_nodes
from agent.runtime.spec.devices import all_devices, find_devices
from agent.runtime.spec.oci_block_io import device_numbers
from agent.runtime.spec.oci_mounts import has_slave_mounts
from agent.runtime.spec.oci_process import command_line
from agent.runtime.spec.oci_spec import HostFacts, Joined, has_seccomp, oci_spec
from agent.runtime.spec.user_lookup import resolve_user
from agent.runtime.supervision.conmon import RuntimeUnsupported, await_created, conmon_arguments, spawn_conmon
from agent.runtime.supervision.container_removal import remove_container
from agent.worker.container_runtime import ContainerRequest
from agent.worker.interfaces import MountedFile
from shoal.errors import ShoalError, Unavailable

Clock = Callable[[], int]
"""Milliseconds since the Unix epoch."""

FindRunning = Callable[[str], ContainerRecord]

BeforeProgram = Callable[[ContainerRequest], None]
"""Called in a worker thread once a container is created, before its program starts; what it raises ends the start."""

_DEFAULT_LOG_BYTES = 10 << 20
_DEFAULT_LOG_FILES = 3


class _WrittenSpec(NamedTuple):
    """Of a config.json that was written.

    Attributes:
        filter_key: for saving the filter that the OCI runtime is going to compile; None: none to save.
        has_poststart_hooks: the OCI runtime runs hooks after the start.
    """

    filter_key: str | None
    has_poststart_hooks: bool


class Launcher:
    """Starts containers, a few at a time.

    Args:
        conmon: path of the program.
        cdi_directories: where specs of the Container Device Interface lie.
        hostname: the host's name for users.
        programs: OCI runtimes, the preferred first; the next one is used if one does not support the host.
        before_program: those who wait for the container's output are attached in it.
        start_fifo: start programs without `crun start`, see `StartByFifo`.
        threads: maximum number of concurrent starts; more than about 4 do not help, the kernel's locks are the limit.
    """

    def __init__(
        self,
        *,
        paths: ContainerPaths,
        cgroups: Cgroups,
        layout: CgroupLayout,
        host: HostFacts,
        compiled_filters: FilterCache,
        apparmor: AppArmor,
        start_lock: StartLock,
        conmon: Path,
        programs: tuple[OciProgram, ...],
        clock: Clock,
        on_step: OnStep,
        before_program: BeforeProgram,
        start_fifo: bool,
        hidden_mount: Path | None,
        cdi_directories: Sequence[Path],
        hostname: str,
        threads: int = 4,
    ) -> None:
        self._paths = paths
        self._cgroups = cgroups
        self._layout = layout
        self._host = host
        self._hostname = hostname
        self._compiled_filters = compiled_filters
        self._apparmor = apparmor
        self._start_lock = start_lock
        self._has_base = False
        self._conmon = conmon
        self._programs = programs
        self._clock = clock
        self._on_step = on_step
        self._before_program = before_program
        self._hidden_mount = hidden_mount
        self._cdi_directories = cdi_directories
        self._host_mounts = os.open("/proc/self/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
        command = StartByCommand(paths, self._start_namespace)
        self._program_start: ProgramStart = StartByFifo(paths, command) if start_fifo else command
        # Only a thread that shares its root and working directory with no other may change its mount namespace.
        self._threads = ThreadPoolExecutor(threads, "runtime", initializer=unshare, initargs=(CLONE_FS,))

    def close(self) -> None:
        """Wait for starts in progress."""
        self._threads.shutdown()
        os.close(self._host_mounts)

    async def start(self, request: ContainerRequest, find_running: FindRunning) -> ContainerRecord:
        """Create and start a container; on an error nothing is left behind.

        A cancelled start is first completed in its thread, so that no incomplete container is visible.

        Args:
            find_running: the record of a running container, by its task's id; raises NotFound.
        Raises:
            InvalidInput, NotFound, Unavailable, Exhausted: as `Runtime.start` says.
        """
        with self._start_lock.hold():
            work = asyncio.get_running_loop().run_in_executor(self._threads, self._start, request, find_running)
            try:
                return await asyncio.shield(work)
            except asyncio.CancelledError:
                await asyncio.wait([work])
                if not work.cancelled() and work.exception() is None:
                    await asyncio.to_thread(
                        remove_container, self._paths, self._cgroups, request.task_id, keep_logs=False
                    )
                raise

    def _start(self, request: ContainerRequest, find_running: FindRunning) -> ContainerRecord:
        try:
            if not (request.pid_task_id or request.ipc_task_id):
                return self._start_with_any(request, NOTHING_JOINED)
            with joined_namespaces(request, find_running) as joined:
                return self._start_with_any(request, joined)
        except BaseException as error:
            full = full_disk(self._paths)
            remove_container(self._paths, self._cgroups, request.task_id, keep_logs=False)
            if (shown := start_error(error, full, self._paths)) is not error:
                raise shown from error
            raise

    def _start_with_any(self, request: ContainerRequest, joined: JoinedNamespaces) -> ContainerRecord:
        requested = request.spec.runtime
        refused: ShoalError = Unavailable(f"no OCI runtime found; install {requested or 'crun or runc'}")
        for program in self._programs:
            if requested and program.name != requested:
                continue
            try:
                return self._start_with(program, request, joined)
            except RuntimeUnsupported as error:
                remove_container(self._paths, self._cgroups, request.task_id, keep_logs=False)
                refused = error
        raise refused

    def _start_with(self, program: OciProgram, request: ContainerRequest, joined: JoinedNamespaces) -> ContainerRecord:
        step = StartSteps(self._on_step)
        bundle = self._paths.bundle(request.task_id)
        upper = self._paths.upper_of(request.task_id, request.container_id)
        self._make_directories(request, bundle, upper)
        step("agent.start.directories")
        hide = self._hidden_mount_for(program.name)
        with private_mounts(self._host_mounts, hide=hide, slave=has_slave_mounts(request.spec)):
            step("agent.start.mount-namespace")
            layers = (*request.image.layers, self._paths.base)
            mount_overlay(layers, upper, bundle / "rootfs", volatile=request.volatile)
            step("agent.start.overlay")
            files = mount_etc_files(bundle / "files", request.etc_files)
            mounted = mount_files(bundle / "mounted", request.mounted_files)
            request = with_anonymous_volumes(request, upper / "v")
            if request.container_id:
                write_volumes(upper, request.spec.mounts, request.volumes)
                write_access(upper, request.spec, request.image)
            request = mount_volumes(bundle / "volumes", bundle / "rootfs", request)
            unmount_here(self._hidden_mount)
            shared_memory = mount_shared_memory(joined, bundle / "shm")
            written = self._write_spec(program, request, files, mounted, Joined(joined.by_kind, shared_memory))
            step("agent.start.spec")
            first, pipe = spawn_conmon(self._conmon_arguments(program, request), bundle)
            step("agent.start.spawn")
        pid = await_created(first, pipe, program.name, command_line(request.spec, request.image.config)[0])
        step("agent.start.create")
        if not request.log.disabled:
            link_first_file(self._paths.logs_of(request.task_id, request.container_id))
        # With no_new_privileges crun installs the filter after this point, just before it executes the program.
        if has_seccomp(request.spec) and not request.spec.no_new_privileges:
            verify_filtered(pid)
        record = self._record(program, request, pid)
        state = self._paths.runtime_root(program.name) / request.task_id
        if written.filter_key is not None and program.name == "crun":
            self._compiled_filters.save(written.filter_key, state / "seccomp.bpf")
        write_record(bundle, record)
        step("agent.start.record")
        self._before_program(request)
        self._program_start.start(program, request.task_id, pid, has_hooks=written.has_poststart_hooks)
        step("agent.start.start")
        return record

    def _hidden_mount_for(self, program: str) -> Path | None:
        """crun does not support the unified hierarchy of hybrid hosts."""
        return self._layout.hybrid_mount if program == "crun" else None

    def _start_namespace(self, program: str) -> AbstractContextManager[None]:
        hide = self._hidden_mount_for(program)
        return private_mounts(self._host_mounts, hide=hide) if hide is not None else nullcontext()

    def _conmon_arguments(self, program: OciProgram, request: ContainerRequest) -> list[str]:
        log_bytes = 0 if request.log.disabled else log_file_limits(*_log_bounds(request)).bytes
        return conmon_arguments(self._conmon, program, self._paths, request, log_bytes=log_bytes)

    def _make_directories(self, request: ContainerRequest, bundle: Path, upper: Path) -> None:
        """Create the bundle, the log directory, and the overlay's directories unless these are kept ones."""
        check_bind_sources(request, self._hostname)
        if not self._has_base:
            self._paths.create_base()
            self._has_base = True
        bundle.mkdir(mode=0o700)
        for directory in (bundle / "rootfs", bundle / "files"):
            directory.mkdir()
        if request.container_id:
            bundle.joinpath(KEPT_MARK).write_text(request.container_id)
        else:
            upper.mkdir(parents=True)
            for directory in (upper / "u", upper / "w"):
                directory.mkdir()
            # The overlay's root shows the upper directory's mode and owner.
            upper.joinpath("u").chmod(0o755)
        if not request.log.disabled:
            self._paths.logs_of(request.task_id, request.container_id).mkdir(parents=True, exist_ok=True)

    def _write_spec(
        self,
        program: OciProgram,
        request: ContainerRequest,
        files: Mapping[str, Path],
        mounted: Mapping[Path, MountedFile],
        joined: Joined,
    ) -> "_WrittenSpec":
        """Write config.json."""
        bundle = self._paths.bundle(request.task_id)
        root = bundle / "rootfs"
        user = resolve_user(
            request.spec.user or request.image.config.user,
            request.spec.groups,
            passwd=read_in_root(root, "/etc/passwd"),
            group=read_in_root(root, "/etc/group"),
        )
        cgroup = self._cgroups.name(request.task_id)
        edits = (
            cdi_registry.read_specs(self._cdi_directories).edits(request.cdi_devices)
            if request.cdi_devices
            else Edits()
        )
        devices = [*(all_devices() if request.spec.privileged else ()), *find_devices(request.spec.devices)]
        devices += device_nodes(edits)
        spec = oci_spec(
            request,
            user=user,
            rootfs=root,
            cgroup=cgroup,
            etc_files=files,
            mounted_files=mounted,
            devices=devices,
            block_devices=device_numbers(request.spec.block_io),
            host=self._host,
            file_sources=file_mounts(request.spec),
            joined=joined,
        )
        self._apparmor.require(spec["process"].get("apparmorProfile", ""))
        apply_edits(spec, edits)
        filter_key = self._compiled_filters.apply(spec, request.spec.seccomp) if program.name == "crun" else None
        (bundle / "config.json").write_text(json.dumps(spec))
        return _WrittenSpec(filter_key, bool(spec.get("hooks", {}).get("poststart")))

    def _record(self, program: OciProgram, request: ContainerRequest, pid: int) -> ContainerRecord:
        conmon = int((self._paths.bundle(request.task_id) / "conmon.pid").read_text())
        started, conmon_started = process_start_time(pid), process_start_time(conmon)
        if started is None or conmon_started is None:
            raise Unavailable("the container exited while it was being created; see the node's kernel log")
        log_bytes, log_files = _log_bounds(request)
        return ContainerRecord(
            task_id=request.task_id,
            program=program.name,
            pid=pid,
            pid_started=started,
            conmon_pid=conmon,
            conmon_started=conmon_started,
            started_ms=self._clock(),
            log_bytes=log_bytes,
            log_files=log_files,
            container_id=request.container_id,
            layers=tuple(map(str, request.image.layers)),
        )


def _log_bounds(request: ContainerRequest) -> tuple[int, int]:
    """The limits in a `ContainerRecord`."""
    if request.log.disabled:
        return 0, 0
    return request.log.max_bytes or _DEFAULT_LOG_BYTES, request.log.max_files or _DEFAULT_LOG_FILES
