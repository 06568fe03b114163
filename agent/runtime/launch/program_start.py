"""Starts the program of a created container, whose first process waits at a fifo for it."""

import errno
import os
import subprocess
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

from agent.runtime.container_paths import ContainerPaths, OciProgram
from agent.runtime.kernel.processes import process_start_time
from shoal.errors import Unavailable

START_SECONDS = 10.0
"""The OCI runtime opens the fifo without a timeout: a first process that has exited would block it forever."""

HOOKS_SECONDS = 60.0
"""The same with `poststart` hooks, which may have timeouts of their own; as long as for the creation with its hooks."""

MountNamespace = Callable[[str], AbstractContextManager[None]]
"""Enters the mount namespace in which an OCI runtime, given by name, works on this host."""


class ProgramStart(Protocol):
    """Starts the program of a created container."""

    def start(self, program: OciProgram, task_id: str, pid: int, *, has_hooks: bool) -> None:
        """Start it and return; blocks, in a thread of the launcher.

        Args:
            program: the OCI runtime that created the container.
            pid: of the container's first process.
            has_hooks: the spec has `poststart` hooks, which the OCI runtime runs.
        Raises:
            Unavailable: the OCI runtime failed. OSError: the first process has exited.
        """
        ...


class StartByCommand:
    """By `<program> start`, which also runs `poststart` hooks (runtime-spec, "Lifecycle")."""

    def __init__(self, paths: ContainerPaths, mount_namespace: MountNamespace) -> None:
        self._paths = paths
        self._mount_namespace = mount_namespace

    def start(self, program: OciProgram, task_id: str, pid: int, *, has_hooks: bool) -> None:
        """See `ProgramStart.start`."""
        del pid
        timeout = HOOKS_SECONDS if has_hooks else START_SECONDS
        command = [str(program.path), "--root", str(self._paths.runtime_root(program.name)), "start", task_id]
        try:
            with self._mount_namespace(program.name):
                done = subprocess.run(
                    command, capture_output=True, text=True, errors="replace", timeout=timeout, check=False
                )
        except subprocess.TimeoutExpired as error:
            raise Unavailable(f"{program.name} timed out starting the container after {timeout:.0f} s") from error
        if done.returncode:
            message = " ".join(done.stderr.split())[-400:]
            raise Unavailable(f"{program.name} could not start the container: {message}")


class StartByFifo:
    """By the byte that `crun start` writes: without its process. Other runtimes and hooks need the command."""

    def __init__(self, paths: ContainerPaths, command: StartByCommand) -> None:
        self._paths = paths
        self._command = command

    def start(self, program: OciProgram, task_id: str, pid: int, *, has_hooks: bool) -> None:
        """See `ProgramStart.start`."""
        if program.name == "crun" and not has_hooks:
            _write_start_fifo(self._paths.runtime_root(program.name) / task_id / "exec.fifo", pid)
        else:
            self._command.start(program, task_id, pid, has_hooks=has_hooks)


def _write_start_fifo(fifo: Path, pid: int) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            descriptor = os.open(fifo, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            break
        except OSError as error:
            # No reader: the first process is not waiting yet, or has exited.
            if error.errno != errno.ENXIO or process_start_time(pid) is None or time.monotonic() > deadline:
                raise
            time.sleep(0.0005)
    try:
        os.write(descriptor, b"0")
    finally:
        os.close(descriptor)
    fifo.unlink(missing_ok=True)
