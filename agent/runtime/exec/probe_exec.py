"""Running a program in a container that runs already, for its last words and its exit code: what health checks want."""

import asyncio
import hashlib
import json
import os
from pathlib import Path

from agent.health.exec_pool import ExecResult
from agent.runtime.container_paths import ContainerPaths, ContainerRecord
from agent.runtime.exec.child_process import ChildProcess
from agent.runtime.exec.exec_thread import ExecThread
from shoal.errors import NotFound

MAX_OUTPUT = 4096
"""Bytes kept of what a program writes, the last ones."""

UNTHROTTLED_BYTES = 1 << 20
"""What a program may write at full speed; after that 1.3 MB/s are read of it, which costs the agent next to nothing."""

_PAUSE_SECONDS = 0.05
_ENDED = 1 << 60


class ProbeExecutor:
    """Programs of health checks."""

    def __init__(self, *, paths: ContainerPaths, exec_thread: ExecThread) -> None:
        self._paths = paths
        self._exec_thread = exec_thread

    async def execute(self, record: ContainerRecord, command: tuple[str, ...]) -> ExecResult:
        """Run a program with the rights and the environment of the container's own; the exit code is 255 where it
        is not there or no program. When cancelled, the program and what it started are killed.

        Raises:
            NotFound: the container has ended. Unavailable: the host refused.
        """
        process = self._process_file(record, command)
        read_end, write_end = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        null = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
        # The program gets the write end as anybody would: blocking.
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
        output = _Tail(read_end)
        try:
            await child.wait()
            output.drain()
        finally:
            output.stop()
            code = await self._exec_thread.terminate(child)
        return ExecResult(code, bytes(output.kept))

    def _process_file(self, record: ContainerRecord, command: tuple[str, ...]) -> Path:
        """The container's own process with other arguments; one file for each program that is run in it."""
        bundle = self._paths.bundle(record.task_id)
        path = bundle / f"exec-{hashlib.sha256(json.dumps(command).encode()).hexdigest()[:16]}.json"
        if path.exists():
            return path
        try:
            process = json.loads((bundle / "config.json").read_text())["process"]
        except FileNotFoundError:
            raise NotFound(f"task {record.task_id} has no container") from None
        path.write_text(json.dumps(process | {"args": list(command), "terminal": False}))
        return path


class _Tail:
    """Reads a pipe as it fills and keeps its last bytes, so that whoever writes does not wait, but for floods."""

    def __init__(self, descriptor: int) -> None:
        self.kept = bytearray()
        self._descriptor = descriptor
        self._free = UNTHROTTLED_BYTES
        self._pause: asyncio.TimerHandle | None = None
        self._listen()

    def drain(self) -> None:
        """Take what is in the pipe now. A program may have left others behind, so its end is not awaited."""
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
        """After the free bytes, a pipe's worth at a time with pauses."""
        self._read()
        if self._free < 0:
            loop = asyncio.get_running_loop()
            loop.remove_reader(self._descriptor)
            if self._free > -_ENDED:
                self._pause = loop.call_later(_PAUSE_SECONDS, self._listen)

    def _read(self) -> bool:
        try:
            piece = os.read(self._descriptor, 1 << 16)
        except BlockingIOError:
            return False
        self._free -= len(piece) or _ENDED
        self.kept = (self.kept + piece)[-MAX_OUTPUT:]
        return bool(piece)
