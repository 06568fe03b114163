"""The agent's side of the unpack program (`layers.unpack_program`): starts it, sends requests, reads results."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from agent.images.layers.unpack_messages import MAX_BYTES, ProcessExit, UnpackRequest, UnpackResult, parse_reply
from shoal.errors import InvalidInput, Unavailable
from shoal.threaded_call import in_thread

_PROGRAM = (
    "import sys; sys.path += sys.argv[3:]; from agent.images.layers.unpack_program import main; main(sys.argv[1:3])"
)
"""The module path is passed as arguments: processing installed packages (site) and running a module by name (runpy)
would take a third of the start time.
"""

_END_SECONDS = 5.0


class UnpackProcess:
    """One unpack process. Belongs to one event loop.

    Args:
        directory: contains the directories to unpack into; the process sees nothing else.
    Raises:
        Unavailable: it cannot be started.
    """

    def __init__(self, directory: Path) -> None:
        self._control, child_end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._control.setblocking(False)
        command = [sys.executable, "-I", "-S", "-X", "utf8", "-c", _PROGRAM, str(child_end.fileno())]
        command += [str(directory.absolute()), *filter(os.path.isabs, sys.path)]
        try:
            # In a session of its own: signals from the agent's terminal are not meant for it.
            self._process = subprocess.Popen(
                command,
                pass_fds=[child_end.fileno()],
                stdin=subprocess.DEVNULL,
                start_new_session=True,
                cwd="/",
                env={},
            )
        except OSError as error:
            self._control.close()
            raise Unavailable(f"cannot start the layer unpacker: {error.strerror}") from error
        finally:
            child_end.close()

    @property
    def is_running(self) -> bool:
        """Whether the process is running."""
        return self._process.poll() is None

    async def unpack(self, blob: Path, request: UnpackRequest) -> None:
        """Unpack a layer into `layer` in the requested directory, which contains `layer` and `discarded`, both empty.

        A cancellation kills the work at once, and returns when nothing writes there any more.

        Raises:
            InvalidInput: the layer is corrupt, hostile, or exceeds its budget. Exhausted: the disk is full.
            Unavailable: the disk fails, or the process was killed.
        """
        replies, child_end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        replies.setblocking(False)
        with replies:
            with child_end:
                self._send(blob, request, child_end)
            reading = asyncio.create_task(_read(replies), name="images: unpack")
            try:
                result, process_exit = await asyncio.shield(reading)
            except asyncio.CancelledError:
                replies.shutdown(socket.SHUT_WR)
                await asyncio.wait([reading])
                raise
        _raise_for_result(result, process_exit)

    async def aclose(self) -> None:
        """Stop the process and wait until it has exited."""
        self._control.close()
        await in_thread(self._wait)

    def _send(self, blob: Path, request: UnpackRequest, child_end: socket.socket) -> None:
        try:
            with blob.open("rb") as file:
                socket.send_fds(self._control, [request.encode()], [child_end.fileno(), file.fileno()])
        except OSError as error:
            raise Unavailable(f"cannot reach the layer unpacker: {error.strerror}") from error

    def _wait(self) -> None:
        try:
            self._process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


async def _read(replies: socket.socket) -> tuple[UnpackResult | None, ProcessExit | None]:
    """All replies, until no process holds the other end."""
    result: UnpackResult | None = None
    process_exit: ProcessExit | None = None
    loop = asyncio.get_running_loop()
    with suppress(ConnectionError):
        while message := await loop.sock_recv(replies, MAX_BYTES):
            reply = parse_reply(message)
            if isinstance(reply, UnpackResult):
                result = reply
            else:
                process_exit = reply
    return result, process_exit


def _raise_for_result(result: UnpackResult | None, process_exit: ProcessExit | None) -> None:
    if result is not None:
        result.raise_for_error()
    elif process_exit is None:
        raise Unavailable("the layer unpacker exited; pull the image again")
    elif process_exit.code == -signal.SIGXCPU:
        raise InvalidInput("unpacking the layer exceeded its CPU time limit")
    elif process_exit.code in (-signal.SIGSEGV, -signal.SIGBUS, -signal.SIGABRT):
        raise InvalidInput(f"the layer unpacker crashed with signal {-process_exit.code}")
    else:
        raise Unavailable(
            f"the layer unpacker exited with code {process_exit.code}; "
            "check whether the node is out of memory and try again"
        )
