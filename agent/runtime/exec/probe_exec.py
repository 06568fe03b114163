"""Runs a health check program in a container and captures its exit code and last output."""

import asyncio
import hashlib
import json
import os
from pathlib import Path

from agent.health.exec_pool import ExecResult
from agent.runtime.container_paths import ContainerPaths, ContainerRecord
from agent.runtime.exec.child_process import ChildProcess
from agent.runtime.exec.exec_thread import ExecThread
from shoal.errors import NotFound, Unavailable

MAX_OUTPUT = 4096
"""The last bytes of a program's output that are kept."""

UNTHROTTLED_BYTES = 1 << 20
"""Output that is read at full speed; beyond it, 1.3 MB/s are read, which costs the agent almost nothing."""

_PAUSE_SECONDS = 0.05
_ENDED = 1 << 60


class ProbeExecutor:
    """Runs programs of health checks."""

    def __init__(self, *, paths: ContainerPaths, exec_thread: ExecThread) -> None:
        self._paths = paths
        self._exec_thread = exec_thread

    async def execute(self, record: ContainerRecord, command: tuple[str, ...]) -> ExecResult:
        """Run a program with the privileges and environment of the container's process; the exit code is 255 if the
        program does not exist. On cancellation, the program and its descendants are killed.

        Raises:
            NotFound: the container has exited. Unavailable: the host failed.
        """
        process = self._process_file(record, command)
        read_end, write_end = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        null = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
        # The program gets the write end in the usual, blocking mode.
        os.set_blocking(write_end, True)
        try:
            try:
                descriptors = [(null, 0), (write_end, 1), (write_end, 2)]
                child = await self._exec_thread.spawn_exec(record, ["exec", "--process", str(process)], descriptors)
            finally:
                os.close(write_end)
                os.close(null)
            return await self._await_end(child, read_end)
        finally:
            os.close(read_end)

    async def _await_end(self, child: ChildProcess, read_end: int) -> ExecResult:
        tail = _Tail(read_end)
        try:
            await child.wait()
            tail.drain()
        finally:
            tail.stop()
            code = await self._exec_thread.terminate(child)
        return ExecResult(code, bytes(tail.output))

    def _process_file(self, record: ContainerRecord, command: tuple[str, ...]) -> Path:
        """The container's own process with other arguments; one file per command."""
        bundle = self._paths.bundle(record.task_id)
        path = bundle / f"exec-{hashlib.sha256(json.dumps(command).encode()).hexdigest()[:16]}.json"
        if path.exists():
            return path
        try:
            process = json.loads((bundle / "config.json").read_text())["process"]
            draft = path.with_suffix(".new")  # a full disk must leave no half of the file to the next check
            draft.write_text(json.dumps(process | {"args": list(command), "terminal": False}))
            draft.replace(path)
        except FileNotFoundError:
            raise NotFound(f"task {record.task_id} has no container") from None
        except OSError as error:
            raise Unavailable(f"cannot run the health check: {error.strerror} in {bundle}") from error
        return path


class _Tail:
    """Reads a pipe and keeps its last bytes, so that the writer does not block, except for floods of output."""

    def __init__(self, descriptor: int) -> None:
        self.output = bytearray()
        self._descriptor = descriptor
        self._unthrottled = UNTHROTTLED_BYTES
        self._pause: asyncio.TimerHandle | None = None
        self._listen()

    def drain(self) -> None:
        """Read what is in the pipe now. Other processes may have it open, so its end is not awaited."""
        for _ in range(16):
            if not self._read():
                return

    def stop(self) -> None:
        if self._pause is not None:
            self._pause.cancel()
        asyncio.get_running_loop().remove_reader(self._descriptor)

    def _listen(self) -> None:
        asyncio.get_running_loop().add_reader(self._descriptor, self._read_some)

    def _read_some(self) -> None:
        """Beyond the unthrottled bytes, read one pipe's worth at a time, with delays."""
        self._read()
        if self._unthrottled < 0:
            loop = asyncio.get_running_loop()
            loop.remove_reader(self._descriptor)
            if self._unthrottled > -_ENDED:
                self._pause = loop.call_later(_PAUSE_SECONDS, self._listen)

    def _read(self) -> bool:
        try:
            piece = os.read(self._descriptor, 1 << 16)
        except BlockingIOError:
            return False
        self._unthrottled -= len(piece) or _ENDED
        self.output = (self.output + piece)[-MAX_OUTPUT:]
        return bool(piece)
