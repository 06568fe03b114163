"""The agent's side of a build program: starts it, and carries messages."""

import asyncio
import os
import socket
import subprocess
import sys
from collections.abc import AsyncGenerator
from contextlib import suppress

from agent.build.frames import frame, read_frame
from shoal.errors import Unavailable
from shoal.threaded_call import in_thread

_PROGRAM = "import sys; sys.path += sys.argv[4:]; from agent.build.program.main import main; main(sys.argv[1:4])"
"""As for the unpack program: neither site nor runpy."""
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_READ_AHEAD = 1 << 20
_END_SECONDS = 10.0
_GIVES_WAY = 10
"""Steps of nice(2)."""


class BuildProcess:
    """One program. For one event loop.

    Args:
        gives_way: it is not needed yet: others go first on the processors, until `hurry`.
    Raises:
        Unavailable: it cannot be started.
    """

    def __init__(self, *, gives_way: bool = False) -> None:
        self._control, control = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        self._descriptors, descriptors = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        command = [sys.executable, "-I", "-S", "-X", "utf8", "-c", _PROGRAM]
        command += [str(control.fileno()), str(descriptors.fileno()), str(os.getpid())]
        command += filter(os.path.isabs, sys.path)
        try:
            self._process = subprocess.Popen(
                command,
                pass_fds=[control.fileno(), descriptors.fileno()],
                stdin=subprocess.DEVNULL,
                start_new_session=True,
                cwd="/",
                env={"PATH": _PATH},
            )
        except OSError as error:
            self._control.close()
            self._descriptors.close()
            raise Unavailable(f"cannot start the build program: {error.strerror}") from error
        finally:
            control.close()
            descriptors.close()
        self._gives_way = gives_way
        if gives_way:
            self._set_priority(os.getpriority(os.PRIO_PROCESS, 0) + _GIVES_WAY)
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    def hurry(self) -> None:
        """It is needed now."""
        if self._gives_way:
            self._set_priority(os.getpriority(os.PRIO_PROCESS, 0))

    def _set_priority(self, priority: int) -> None:
        """Of all its processes: it is the leader of their group. Without effect where it has ended, or may not."""
        with suppress(OSError):
            os.setpriority(os.PRIO_PGRP, self._process.pid, priority)

    @property
    def is_running(self) -> bool:
        """Whether the program has not ended."""
        return self._process.poll() is None

    async def open(self) -> None:
        """Connect; before all other calls."""
        self._reader, self._writer = await asyncio.open_unix_connection(sock=self._control, limit=_READ_AHEAD)

    async def send(self, kind: bytes, body: bytes) -> None:
        """One message. What is sent to a program that has ended is dropped: its last message says why."""
        assert self._writer is not None
        try:
            self._writer.write(frame(kind, body))
            await self._writer.drain()
        except ConnectionError:
            return

    def send_descriptor(self, descriptor: int) -> None:
        """A file descriptor, before the answer that says so. Raises Unavailable: the program has ended."""
        try:
            socket.send_fds(self._descriptors, [b"."], [descriptor])
        except OSError as error:
            raise Unavailable(f"the build program has ended: {error.strerror}") from error

    async def messages(self) -> AsyncGenerator[tuple[bytes, bytes]]:
        """Kind and body of each message, until the program has ended. Raises Unavailable: it sent nonsense."""
        assert self._reader is not None
        while (message := await read_frame(self._reader)) is not None:
            yield message

    async def end(self) -> None:
        """Kill the program, and with it all that it has started, and wait until it is gone."""
        self._process.terminate()
        if self._writer is not None:
            # The transport owns the socket. Closed while it still has data to write, the descriptor would stay in the
            # loop's selector, and the next connection with its number would never be read.
            self._writer.transport.abort()
        else:
            self._control.close()
        self._descriptors.close()
        await in_thread(self._wait)

    def _wait(self) -> None:
        try:
            self._process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
