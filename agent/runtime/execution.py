"""Running a program in a container that runs already, and making sockets in its network namespace.

Both need a thread that is in other namespaces than the rest of the process, so one thread of its own does both: it
starts the OCI runtime's `exec` and hands out sockets, 1 ms each, and waits for nothing. The event loop waits.
"""

import asyncio
import contextlib
import hashlib
import json
import os
import shutil
import signal
import socket
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from agent.health.probes import Execution
from agent.runtime.conmon import Program
from agent.runtime.linux import CLONE_FS, CLONE_NEWNET, set_namespace, unshare
from agent.runtime.places import Places, Record, open_process
from agent.runtime.processes import children, descendants, status
from agent.runtime.root_file_system import private_mounts
from agent.runtime.scrap import ended, reap
from agent.runtime.spawning import spawn_program
from shoal.errors import NotFound, Unavailable

MAX_OUTPUT = 4096
"""Bytes kept of what a program writes, the last ones."""

_SWEEPS = 5
_PATIENCE_SECONDS = 1.0
"""For the OCI runtime to end once the program that it waits for was killed."""


@dataclass(frozen=True)
class _Started:
    """The OCI runtime's process, and the read end of the pipe that the program writes to."""

    pid: int
    pidfd: int
    output: int


class Executor:
    """Access to running containers.

    Args:
        hide: a mount that crun must not see, see `private_mounts`.
        programs: OCI runtimes in the form in which they start quickest.
    """

    def __init__(self, *, places: Places, hide: Path | None, programs: Iterable[Program]) -> None:
        self._places = places
        self._hide = hide
        self._programs = {program.name: str(program.path) for program in programs}
        self._thread = ThreadPoolExecutor(1, "execution", initializer=self._enter)
        self._network = self._mounts = -1
        self._tracked: set[int] = set()
        self._sweeps = 0

    def close(self) -> None:
        """Wait for what the thread does. Programs that run are killed by whoever awaits them."""
        self._thread.shutdown()
        for descriptor in (self._network, self._mounts):
            if descriptor >= 0:
                os.close(descriptor)

    async def execute(self, record: Record, words: tuple[str, ...]) -> Execution:
        """Run a program with the rights and the environment of the container's own; the exit code is 255 where it
        is not there or no program. When cancelled, the program and what it started are killed.

        Raises:
            NotFound: the container has ended. Unavailable: the host refused.
        """
        starting = asyncio.get_running_loop().run_in_executor(self._thread, self._start, record, words)
        try:
            started = await asyncio.shield(starting)
        except asyncio.CancelledError:
            await asyncio.wait([starting])
            if not starting.cancelled() and starting.exception() is None:
                await self._finish(starting.result())
            raise
        return await self._await_end(started)

    async def _await_end(self, started: _Started) -> Execution:
        output = _Tail(started.output)
        try:
            await _readable(started.pidfd)
            output.drain()
        finally:
            output.stop()
            code = await self._finish(started)
        return Execution(code, bytes(output.kept))

    async def _finish(self, started: _Started) -> int:
        """Kill what still runs; the exit code, 128 + the signal's number when one ended it."""
        if not ended(started.pidfd, 0):
            for pid in list(descendants(started.pid)):
                _kill(pid)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_PATIENCE_SECONDS):
                    await _readable(started.pidfd)
            _kill(started.pid)
            await _readable(started.pidfd)
        code = reap(started.pidfd)
        os.close(started.pidfd)
        os.close(started.output)
        assert code is not None, "it is a child of this process, has ended, and nobody else waits for it"
        self._tracked.discard(started.pid)
        if code:
            self._sweeps = _SWEEPS
        return code

    @property
    def is_untidy(self) -> bool:
        """An execution failed not long ago: there may be processes that it left behind; call `sweep` in a while."""
        return self._sweeps > 0

    async def sweep(self) -> None:
        """Clean up after executions that failed."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._sweep)

    def _sweep(self) -> None:
        """End and wait for what OCI runtimes left behind that ended before their children: those are ours then.

        The kernel keeps a container's first process, and with it the whole container, until the last one that was in
        the container is waited for.
        """
        self._sweeps -= 1
        depth = len(status("self")["NSpid"].split())
        for pid in children("self"):
            found = status(pid)
            inside = _is_inside(found, depth)
            if pid in self._tracked or not (inside or found.get("Name", "").startswith(("crun", "runc"))):
                continue
            if inside:
                _kill(pid)
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)

    async def open_socket(self, record: Record, family: socket.AddressFamily) -> socket.socket:
        """A non-blocking TCP socket in the container's network namespace. Raises as `execute`."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._socket, record, family)

    def _enter(self) -> None:
        """Changing its mount namespace is only allowed to a thread that shares its working directory with none."""
        unshare(CLONE_FS)
        self._network = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        self._mounts = os.open("/proc/thread-self/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)

    def _start(self, record: Record, words: tuple[str, ...]) -> _Started:
        program = self._programs.get(record.program) or shutil.which(record.program)
        if program is None:
            raise Unavailable(f"{record.program} is not installed any more, but containers were made by it")
        root, process = self._places.runtime_root(record.program), self._process_file(record, words)
        arguments = [program, "--root", str(root), "exec", "--process", str(process), record.task_id]
        read_end, write_end = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        null = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
        descriptors = [(null, 0), (write_end, 1), (write_end, 2)]
        # The program gets the write end as anybody would: blocking.
        os.set_blocking(write_end, True)
        try:
            with self._without_hidden(record.program):
                pid = spawn_program(arguments, {"PATH": os.defpath}, descriptors=descriptors)
        except OSError as error:
            os.close(read_end)
            raise Unavailable(f"{record.program} cannot be run: {error.strerror}") from error
        finally:
            os.close(write_end)
            os.close(null)
        self._tracked.add(pid)
        return _Started(pid, os.pidfd_open(pid), read_end)

    def _without_hidden(self, program: str) -> AbstractContextManager[None]:
        if program == "crun" and self._hide is not None:
            return private_mounts(self._mounts, hide=self._hide)
        return contextlib.nullcontext()

    def _process_file(self, record: Record, words: tuple[str, ...]) -> Path:
        """The container's own process with other arguments; one file for each program that is run in it."""
        bundle = self._places.bundle(record.task_id)
        path = bundle / f"exec-{hashlib.sha256(json.dumps(words).encode()).hexdigest()[:16]}.json"
        if path.exists():
            return path
        try:
            process = json.loads((bundle / "config.json").read_text())["process"]
        except FileNotFoundError:
            raise NotFound(f"task {record.task_id} has no container") from None
        path.write_text(json.dumps(process | {"args": list(words), "terminal": False}))
        return path

    def _socket(self, record: Record, family: socket.AddressFamily) -> socket.socket:
        pidfd = open_process(record.pid, record.pid_started)
        if pidfd is None:
            raise NotFound(f"task {record.task_id} does not run")
        try:
            set_namespace(pidfd, CLONE_NEWNET)
        except OSError as error:
            raise NotFound(f"task {record.task_id} does not run: {error.strerror}") from error
        finally:
            os.close(pidfd)
        try:
            return socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        finally:
            set_namespace(self._network, CLONE_NEWNET)


class _Tail:
    """Reads a pipe as it fills and keeps its last bytes, so that whoever writes never waits."""

    def __init__(self, descriptor: int) -> None:
        self.kept = bytearray()
        self._descriptor = descriptor
        asyncio.get_running_loop().add_reader(descriptor, self._read)

    def drain(self) -> None:
        """Take what is in the pipe now. A program may have left others behind, so its end is not awaited."""
        for _ in range(16):
            if not self._read():
                return

    def stop(self) -> None:
        asyncio.get_running_loop().remove_reader(self._descriptor)

    def _read(self) -> bool:
        try:
            piece = os.read(self._descriptor, 1 << 16)
        except BlockingIOError:
            return False
        if not piece:
            asyncio.get_running_loop().remove_reader(self._descriptor)
        self.kept = (self.kept + piece)[-MAX_OUTPUT:]
        return bool(piece)


async def _readable(descriptor: int) -> None:
    """A pidfd is readable when its process has ended."""
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    loop.add_reader(descriptor, ready.set)
    try:
        await ready.wait()
    finally:
        loop.remove_reader(descriptor)


def _kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def _is_inside(status: Mapping[str, str], depth: int) -> bool:
    """Whether it is in a container; not as its first process, which is not to be touched."""
    numbers = status.get("NSpid", "").split()
    return len(numbers) > depth and numbers[-1] != "1"
