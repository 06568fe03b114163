"""Standard streams of a user's program: pipes, a terminal, or none."""

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
"""Four times the default: fewer reads and writes of much data."""

_MAX_SIDE = 0xFFFF


class StdStream(Enum):
    """The stream that output was written to. With a terminal all output is STDOUT."""

    STDOUT = 1
    STDERR = 2


class ExecStreams:
    """The agent's ends, non-blocking, and the child's ends for the OCI runtime's `exec`.

    Args:
        child_ends: closes the child's ends; the caller closes it once the OCI runtime has exited.
        console: path of the socket over which the OCI runtime sends a terminal.

    Attributes:
        descriptors: in the form of `spawn_program`. options: options of `exec`.
        stdin: None: the program has no input. outputs: with a terminal, one descriptor, the same as `stdin`.
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
            read_end, write_end = os.pipe2(os.O_CLOEXEC)
            _enlarge(read_end)
            self.outputs[read_end] = stream
            child_ends.callback(os.close, write_end)
            os.set_blocking(read_end, False)
            self.descriptors[stream.value] = (write_end, stream.value)
        if request.stdin:
            read_end, self.stdin = os.pipe2(os.O_CLOEXEC)
            _enlarge(read_end)
            child_ends.callback(os.close, read_end)
            os.set_blocking(self.stdin, False)
            self.descriptors[0] = (read_end, 0)

    async def receive_terminal(self) -> None:
        """Receive the terminal's master, which the OCI runtime sends before the program starts (its console socket).

        Raises:
            Unavailable: it did not send a terminal.
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
        """Resize the terminal, if there is one (ioctl_tty(2), TIOCSWINSZ)."""
        if self.has_terminal and self.stdin is not None:
            size = struct.pack("HHHH", min(rows, _MAX_SIDE), min(columns, _MAX_SIDE), 0, 0)
            fcntl.ioctl(self.stdin, termios.TIOCSWINSZ, size)

    def close_input(self) -> None:
        """Close standard input, unless it is a terminal."""
        if self.stdin is not None and not self.has_terminal:
            os.close(self.stdin)
            self.stdin = None

    def close(self) -> None:
        """Close the agent's ends; with a terminal the program gets SIGHUP."""
        for descriptor in {self.stdin, *self.outputs}:
            if descriptor is not None:
                os.close(descriptor)
        self.stdin = None
        self.outputs = {}


def _enlarge(pipe: int) -> None:
    with contextlib.suppress(OSError):  # the host's limit of pipe memory is reached
        fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
