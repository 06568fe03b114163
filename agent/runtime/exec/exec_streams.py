"""How the standard streams of a user's program come to us: by pipes, by a terminal's master, or not at all."""

import asyncio
import contextlib
import fcntl
import os
import socket
import struct
import termios
from contextlib import ExitStack
from enum import Enum
from pathlib import Path

from agent.runtime.exec.child_process import wait_readable
from agent.runtime.spec.exec_spec import has_terminal
from shoal.api.v1.streams_pb2 import ExecStart
from shoal.errors import Unavailable

_PIPE_BYTES = 1 << 18
"""Four times as many as by default: much output comes in fewer pieces."""

_MAX_SIDE = 0xFFFF


class StdStream(Enum):
    """Where output was written to. With a terminal all of it is STDOUT."""

    STDOUT = 1
    STDERR = 2


class ExecStreams:
    """Our ends, not blocking, and the other ones for the OCI runtime's `exec`.

    Args:
        child_ends: where the other ends are to be closed, as soon as the OCI runtime has ended.
        console: path for the socket by which the OCI runtime hands over a terminal.

    Attributes:
        descriptors: as `spawn_program` takes them. `options`: options of `exec`.
        stdin: None: the program has no input. `outputs`: of a terminal it is one, `stdin` too.
    """

    def __init__(self, request: ExecStart, *, child_ends: ExitStack, console: Path) -> None:
        self.stdin: int | None = None
        self.outputs: dict[int, StdStream] = {}
        self.options: tuple[str, ...] = ()
        self._size = request.terminal
        self.has_terminal = has_terminal(request)
        null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        child_ends.callback(os.close, null)
        self.descriptors = [(null, 0), (null, 1), (null, 2)]
        if self.has_terminal:
            self._console = child_ends.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
            # By descriptor: the address of a socket holds 107 bytes (unix(7)).
            directory = os.open(console.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
            child_ends.callback(os.close, directory)
            short = f"/proc/{os.getpid()}/fd/{directory}/{console.name}"
            self._console.bind(short)
            child_ends.callback(console.unlink, missing_ok=True)
            self._console.listen(1)
            self._console.setblocking(False)
            self.options = ("--console-socket", short)
        elif not request.detach:
            self._open_pipes(request, child_ends)

    def _open_pipes(self, request: ExecStart, child_ends: ExitStack) -> None:
        for stream in (StdStream.STDOUT, StdStream.STDERR):
            ours, given = os.pipe2(os.O_CLOEXEC)
            with contextlib.suppress(OSError):  # the host's bounds for pipes are met
                fcntl.fcntl(ours, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
            self.outputs[ours] = stream
            child_ends.callback(os.close, given)
            os.set_blocking(ours, False)
            self.descriptors[stream.value] = (given, stream.value)
        if request.stdin:
            given, self.stdin = os.pipe2(os.O_CLOEXEC)
            child_ends.callback(os.close, given)
            os.set_blocking(self.stdin, False)
            self.descriptors[0] = (given, 0)

    async def receive_terminal(self) -> None:
        """Wait for the master, which the OCI runtime hands over before the program starts (its console socket).

        Raises:
            Unavailable: it gave another thing.
        """
        connection, _ = await asyncio.get_running_loop().sock_accept(self._console)
        with connection:
            await wait_readable(connection.fileno())
            _, masters, _, _ = socket.recv_fds(connection, 4096, 1)
        if not masters:
            raise Unavailable("the OCI runtime did not provide a terminal")
        (master,) = masters
        os.set_blocking(master, False)
        os.set_inheritable(master, False)
        self.stdin, self.outputs = master, {master: StdStream.STDOUT}
        self.resize(self._size.columns, self._size.rows)

    def resize(self, columns: int, rows: int) -> None:
        """Of the terminal; nothing without one (ioctl_tty(2), TIOCSWINSZ)."""
        if self.has_terminal and self.stdin is not None:
            size = struct.pack("HHHH", min(rows, _MAX_SIDE), min(columns, _MAX_SIDE), 0, 0)
            fcntl.ioctl(self.stdin, termios.TIOCSWINSZ, size)

    def close_input(self) -> None:
        """A terminal's has no end."""
        if self.stdin is not None and not self.has_terminal:
            os.close(self.stdin)
            self.stdin = None

    def close(self) -> None:
        """Our ends: the program is hung up on."""
        for descriptor in {self.stdin, *self.outputs}:
            if descriptor is not None:
                os.close(descriptor)
        self.stdin = None
        self.outputs = {}
