"""A user's running program in a container: its input, output and exit code."""

import asyncio
import contextlib
import errno
import os
import signal
from collections.abc import AsyncGenerator, Callable, Iterable

from agent.runtime.exec.child_process import ChildProcess
from agent.runtime.exec.exec_streams import ExecStreams, StdStream
from agent.runtime.exec.exec_thread import ExecThread

CHUNK_BYTES = 1 << 18
"""Bytes of output per read."""

_TERMINAL_SECONDS = 1.0
"""Wait for the end of a terminal's output, if other processes than the program may have it open."""

_HANGUP_SECONDS = 2.0
"""Time for a program to exit after SIGHUP."""


class ExecProcess:
    """Output is read only as fast as the caller consumes it. Always await `close`.

    The process is reaped as soon as it exits, whatever the caller does: the kernel keeps a container's first process
    until the last process of the container is reaped.

    Args:
        on_exit: called once, when the process has exited and was reaped.
    """

    def __init__(
        self, child: ChildProcess, exec_thread: ExecThread, streams: ExecStreams, *, on_exit: Callable[[], None]
    ) -> None:
        self._child = child
        self._exec_thread = exec_thread
        self._streams = streams
        self._on_exit = on_exit
        self._exited = asyncio.Event()
        self._waiters: set[asyncio.Event] = set()
        self._exit_task = asyncio.create_task(self._wait_for_exit())

    @property
    def pid(self) -> int:
        """On the host."""
        return self._child.pid

    async def output(self) -> AsyncGenerator[tuple[StdStream, bytes]]:
        """Its output, until it exits. Processes that it started may still have its output open: they are not waited
        for."""
        open_outputs = dict(self._streams.outputs)
        while True:
            exited, found = self._exited.is_set(), False
            for descriptor, stream in list(open_outputs.items()):
                piece = _read(descriptor)
                if piece:
                    found = True
                    yield stream, piece
                elif piece is not None:
                    del open_outputs[descriptor]
            if found:
                continue
            if not exited:
                await self._until_ready(open_outputs)
            elif not (open_outputs and self._streams.has_terminal and await _has_more_output(open_outputs)):
                return

    async def write(self, data: bytes) -> None:
        """Write to its standard input; returns when it has read all of it, has closed its input, or has exited."""
        rest = memoryview(data)
        while rest and (stdin := self._streams.stdin) is not None and not self._exited.is_set():
            try:
                rest = rest[os.write(stdin, rest) :]
            except BlockingIOError:
                await self._until_ready((), writable=stdin)
            except OSError as error:
                if error.errno not in (errno.EPIPE, errno.EIO):
                    raise
                return

    def close_input(self) -> None:
        """As `ExecStreams.close_input`."""
        self._streams.close_input()

    def resize(self, columns: int, rows: int) -> None:
        """As `ExecStreams.resize`."""
        self._streams.resize(columns, rows)

    def signal(self, number: int) -> None:
        """Signal the program only, if it is still running."""
        if not self._exited.is_set():
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._child.pidfd, number)

    async def close(self) -> int:
        """Its exit code, or 128 + the signal's number. A program that is still running gets SIGHUP, then SIGKILL."""
        self._streams.close()
        self.signal(signal.SIGHUP)
        await asyncio.wait([self._exit_task], timeout=_HANGUP_SECONDS)
        if not self._exited.is_set():
            self._child.kill()
        return await asyncio.shield(self._exit_task)

    async def exit_code(self) -> int:
        """Its exit code, once it has exited by itself."""
        try:
            return await asyncio.shield(self._exit_task)
        finally:
            self._streams.close()

    async def _wait_for_exit(self) -> int:
        await self._child.wait()
        code = await self._exec_thread.terminate(self._child, user_exec=True)
        self._exited.set()
        for ready in self._waiters:
            ready.set()
        self._on_exit()
        return code

    async def _until_ready(self, readable: Iterable[int], *, writable: int | None = None) -> None:
        """Wait for the first ready descriptor, or the exit. Duplicates are used: the loop has one watcher per
        descriptor."""
        loop, ready = asyncio.get_running_loop(), asyncio.Event()
        with contextlib.ExitStack() as watched:
            _watch(watched, readable, ready)
            if writable is not None:
                copy = os.dup(writable)
                watched.callback(os.close, copy)
                loop.add_writer(copy, ready.set)
                watched.callback(loop.remove_writer, copy)
            self._waiters.add(ready)
            watched.callback(self._waiters.discard, ready)
            if not self._exited.is_set():
                await ready.wait()


def _watch(watched: contextlib.ExitStack, readable: Iterable[int], ready: asyncio.Event) -> None:
    loop = asyncio.get_running_loop()
    for descriptor in readable:
        copy = os.dup(descriptor)
        watched.callback(os.close, copy)
        loop.add_reader(copy, ready.set)
        watched.callback(loop.remove_reader, copy)


async def _has_more_output(descriptors: Iterable[int]) -> bool:
    """Whether a terminal has more output: the kernel forwards it with a delay."""
    ready = asyncio.Event()
    with contextlib.ExitStack() as watched, contextlib.suppress(TimeoutError):
        _watch(watched, descriptors, ready)
        async with asyncio.timeout(_TERMINAL_SECONDS):
            await ready.wait()
    return ready.is_set()


def _read(descriptor: int) -> bytes | None:
    """None: no output now. Empty: end of output; for a terminal that is EIO."""
    try:
        return os.read(descriptor, CHUNK_BYTES)
    except BlockingIOError:
        return None
    except OSError as error:
        if error.errno != errno.EIO:
            raise
        return b""
