"""The agent's side of the program that unpacks layers (`layers.program`): one of its processes, and what it says."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from agent.images.layers.unpack_messages import MAX_BYTES, ProcessExit, UnpackRequest, UnpackResult, parse_reply
from agent.images.threaded_call import in_thread
from shoal.errors import InvalidInput, Unavailable

_PROGRAM = (
    "import sys; sys.path += sys.argv[3:]; from agent.images.layers.unpack_program import main; main(sys.argv[1:3])"
)
"""Where its modules are, it is told: to look at what is installed (site) and to run a module by name (runpy) would take
a third of its start.
"""

_END_SECONDS = 5.0


class UnpackProcess:
    """One such process. Belongs to one event loop.

    Args:
        directory: that the directories to unpack in are in; it sees nothing else.
    Raises:
        Unavailable: it cannot be started.
    """

    def __init__(self, directory: Path) -> None:
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._control.setblocking(False)
        command = [sys.executable, "-I", "-S", "-X", "utf8", "-c", _PROGRAM, str(theirs.fileno())]
        command += [str(directory.absolute()), *filter(os.path.isabs, sys.path)]
        try:
            # Of a session of its own: what a terminal sends to the agent is not meant for it.
            self._process = subprocess.Popen(
                command, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL, start_new_session=True, cwd="/", env={}
            )
        except OSError as error:
            self._control.close()
            raise Unavailable(f"cannot start the layer unpacker: {error.strerror}") from error
        finally:
            theirs.close()

    @property
    def is_running(self) -> bool:
        """Whether it takes layers."""
        return self._process.poll() is None

    async def unpack(self, blob: Path, request: UnpackRequest) -> None:
        """Have a layer unpacked into `layer` in the directory that is named, which has `discarded` too, both empty.

        A cancellation ends the work at once, and is over when nothing writes there any more.

        Raises:
            InvalidInput: the layer is broken, hostile, or takes more than its budget. Exhausted: the disk is full.
            Unavailable: the disk fails, or the process was killed.
        """
        answers, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        answers.setblocking(False)
        with answers:
            with theirs:
                self._send(blob, request, theirs)
            reading = asyncio.create_task(_read(answers), name="images: unpack")
            try:
                verdict, ended = await asyncio.shield(reading)
            except asyncio.CancelledError:
                answers.shutdown(socket.SHUT_WR)
                await asyncio.wait([reading])
                raise
        _raise_for_result(verdict, ended)

    async def aclose(self) -> None:
        """Have it end, and wait for that."""
        self._control.close()
        await in_thread(self._wait)

    def _send(self, blob: Path, request: UnpackRequest, theirs: socket.socket) -> None:
        try:
            with blob.open("rb") as file:
                socket.send_fds(self._control, [request.encode()], [theirs.fileno(), file.fileno()])
        except OSError as error:
            raise Unavailable(f"cannot reach the layer unpacker: {error.strerror}") from error

    def _wait(self) -> None:
        try:
            self._process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


async def _read(answers: socket.socket) -> tuple[UnpackResult | None, ProcessExit | None]:
    """All answers, until there is nobody left to give one."""
    verdict: UnpackResult | None = None
    ended: ProcessExit | None = None
    loop = asyncio.get_running_loop()
    with suppress(ConnectionError):
        while message := await loop.sock_recv(answers, MAX_BYTES):
            answer = parse_reply(message)
            if isinstance(answer, UnpackResult):
                verdict = answer
            else:
                ended = answer
    return verdict, ended


def _raise_for_result(verdict: UnpackResult | None, ended: ProcessExit | None) -> None:
    if verdict is not None:
        verdict.raise_for_error()
    elif ended is None:
        raise Unavailable("the layer unpacker exited; pull the image again")
    elif ended.code == -signal.SIGXCPU:
        raise InvalidInput("unpacking the layer exceeded its CPU time limit")
    elif ended.code in (-signal.SIGSEGV, -signal.SIGBUS, -signal.SIGABRT):
        raise InvalidInput(f"the layer unpacker crashed with signal {-ended.code}")
    else:
        raise Unavailable(
            f"the layer unpacker exited with code {ended.code}; check whether the node is out of memory and try again"
        )
