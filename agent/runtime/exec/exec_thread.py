"""A thread for exec and for sockets in containers' namespaces; reaps what OCI runtimes leave behind.

It starts the OCI runtime's `exec` and creates sockets in containers' network namespaces, 1 ms each, and never waits;
the event loop does.
"""

import asyncio
import contextlib
import os
import shutil
import socket
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path

from agent.runtime.container_paths import ContainerPaths, ContainerRecord, OciProgram
from agent.runtime.exec.child_process import ChildProcess, kill
from agent.runtime.kernel.linux import CLONE_FS, CLONE_NEWNET, set_namespace, unshare
from agent.runtime.kernel.process_spawn import spawn_program
from agent.runtime.kernel.processes import children, open_pidfd, status
from agent.runtime.rootfs.overlay_mount import private_mounts
from shoal.errors import NotFound, Unavailable

_SWEEPS = 5


class ExecThread:
    """Starts the OCI runtime's `exec`.

    Args:
        hide: a mount that crun must not see; see `private_mounts`.
        programs: OCI runtimes to execute.
    """

    def __init__(self, *, paths: ContainerPaths, hide: Path | None, programs: Iterable[OciProgram]) -> None:
        self._paths = paths
        self._hide = hide
        self._programs = {program.name: str(program.path) for program in programs}
        self._thread = ThreadPoolExecutor(1, "exec", initializer=self._open_namespaces)
        self._network = self._mounts = -1
        self._children: set[int] = set()
        self._reparenting = 0
        self._sweeps = 0

    def close(self) -> None:
        """Stop the thread after its current work. Running programs are killed by their awaiters."""
        self._thread.shutdown()
        for descriptor in (self._network, self._mounts):
            if descriptor >= 0:
                os.close(descriptor)

    async def spawn_exec(
        self, record: ContainerRecord, options: Sequence[str], descriptors: Sequence[tuple[int, int]]
    ) -> ChildProcess:
        """Run `crun exec <options> <container>`, or runc's; the caller must terminate the child.

        Args:
            descriptors: in the form of `spawn_program`; they may be closed afterwards.
        Raises:
            Unavailable: it cannot be executed.
        """
        starting = asyncio.get_running_loop().run_in_executor(self._thread, self._spawn, record, options, descriptors)
        try:
            return await asyncio.shield(starting)
        except asyncio.CancelledError:
            await asyncio.wait([starting])
            if not starting.cancelled() and starting.exception() is None:
                await self.terminate(starting.result())
            raise

    def adopt(self, pid: int) -> ChildProcess:
        """Take over a program whose OCI runtime has exited, so that it is a child of this process. Call it in
        `reparenting`.

        Raises:
            ProcessLookupError: there is no such process.
        """
        child = ChildProcess(pid, os.pidfd_open(pid))
        self._children.add(pid)
        return child

    async def terminate(self, child: ChildProcess, *, user_exec: bool = False) -> int:
        """As `ChildProcess.terminate`. After a failure, orphans may remain and are swept; failures of users' programs
        are normal."""
        code = await child.terminate()
        self._children.discard(child.pid)
        if code and not user_exec:
            self._sweeps = _SWEEPS
        return code

    @contextlib.contextmanager
    def reparenting(self) -> Iterator[None]:
        """Disable sweeping while a program becomes a child of this process before its pid is known."""
        self._reparenting += 1
        try:
            yield
        finally:
            self._reparenting -= 1

    async def open_socket(self, record: ContainerRecord, family: socket.AddressFamily) -> socket.socket:
        """A non-blocking TCP socket in the container's network namespace.

        Raises:
            NotFound: the container has exited.
        """
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._socket, record, family)

    @property
    def needs_sweep(self) -> bool:
        """An execution failed recently and may have left processes behind; call `sweep` later."""
        return self._sweeps > 0

    async def sweep(self) -> None:
        """Clean up after failed executions."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._sweep)

    def _sweep(self) -> None:
        """Kill and reap processes that OCI runtimes left behind: they are children of this process then.

        The kernel keeps a container's first process, and with it the whole container, until the last process of the
        container is reaped.
        """
        depth = len(status("self")["NSpid"].split())
        found = {pid: status(pid) for pid in children("self")}
        if self._reparenting:  # Checked after listing: a program that is handed over later was not in the list.
            return
        self._sweeps -= 1
        for pid, fields in found.items():
            inside = _is_inside(fields, depth)
            if pid in self._children or not (inside or fields.get("Name", "").startswith(("crun", "runc"))):
                continue
            if inside:
                kill(pid)
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)

    def _open_namespaces(self) -> None:
        """Only a thread that shares its working directory with no other may change its mount namespace."""
        unshare(CLONE_FS)
        self._network = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        self._mounts = os.open("/proc/thread-self/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)

    def _spawn(
        self, record: ContainerRecord, options: Sequence[str], descriptors: Sequence[tuple[int, int]]
    ) -> ChildProcess:
        program = self._programs.get(record.program) or shutil.which(record.program)
        if program is None:
            raise Unavailable(f"{record.program} is no longer installed, but the container was created with it")
        root = self._paths.runtime_root(record.program)
        arguments = [program, "--root", str(root), *options, record.task_id]
        try:
            with self._mounts_for(record.program):
                pid = spawn_program(arguments, {"PATH": os.defpath}, descriptors=descriptors)
        except OSError as error:
            raise Unavailable(f"cannot run {record.program}: {error.strerror}") from error
        self._children.add(pid)
        return ChildProcess(pid, os.pidfd_open(pid))

    def _mounts_for(self, program: str) -> AbstractContextManager[None]:
        if program == "crun" and self._hide is not None:
            return private_mounts(self._mounts, hide=self._hide)
        return contextlib.nullcontext()

    def _socket(self, record: ContainerRecord, family: socket.AddressFamily) -> socket.socket:
        pidfd = open_pidfd(record.pid, record.pid_started)
        if pidfd is None:
            raise NotFound(f"task {record.task_id} is not running")
        try:
            set_namespace(pidfd, CLONE_NEWNET)
        except OSError as error:
            raise NotFound(f"task {record.task_id} is not running: {error.strerror}") from error
        finally:
            os.close(pidfd)
        try:
            return socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        finally:
            set_namespace(self._network, CLONE_NEWNET)


def _is_inside(status: Mapping[str, str], depth: int) -> bool:
    """Whether a process is in a container, but not its first process, which must not be touched."""
    numbers = status.get("NSpid", "").split()
    return len(numbers) > depth and numbers[-1] != "1"
