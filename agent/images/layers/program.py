"""The program that unpacks layers for the agent: `python -m agent.images.layers.program <descriptor> <directory>`.

It waits at a socket for layers and forks for each: what a layer does to its process ends with that process, and a fork
takes 2 ms where starting Python takes 30. It imports what unpacking needs and nothing else (no event loop, no gRPC),
and sees nothing of the host but a directory.

A request is a message of `<diff id> <name> <bytes of the disk's reserve>` with two descriptors: the socket for its
answers, and the blob. The name is that of a directory in the program's own, with the empty directories `layer` and
`discarded` in it. The answers are the verdict of the process that unpacks, if that lives to give one, and then how it
ended. When the agent closes its side, or ends, so does the work.
"""

import gc
import os
import select
import signal
import socket
import sys
from collections.abc import Sequence
from typing import NamedTuple

from agent.images.disk import DiskGuard, disk_error
from agent.images.layers.budget import LayerBudget, budget_for
from agent.images.layers.messages import MAX_BYTES, Ended, Request, Verdict
from agent.images.layers.sandbox import be_first_to_die, confine, die_with_parent, more_processor_time, see_only
from agent.images.layers.unpack import unpack
from shoal.errors import InvalidInput, ShoalError, Unavailable

_UMASK = 0o022
_DESCRIPTORS = 2


class _Layer(NamedTuple):
    """One being unpacked: its process and where its answers go."""

    pid: int
    pid_fd: int
    answers: socket.socket


class Server:
    """Takes layers from a socket until its other side is closed."""

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._layers: list[_Layer] = []
        self._poll = select.poll()
        self._poll.register(control, select.POLLIN)

    def run(self) -> None:
        """Serve; all processes are gone when it returns."""
        while True:
            ready = {fd for fd, _ in self._poll.poll()}
            for layer in tuple(self._layers):
                if layer.pid_fd in ready:
                    self._reap(layer)
                elif layer.answers.fileno() in ready:  # the agent gives up
                    self._poll.unregister(layer.answers)
                    os.kill(layer.pid, signal.SIGKILL)
            if self._control.fileno() in ready and not self._take():
                break
        for layer in tuple(self._layers):
            os.kill(layer.pid, signal.SIGKILL)
            self._reap(layer)

    def _take(self) -> bool:
        """Start on the next layer; whether there was one."""
        message, fds, _, _ = socket.recv_fds(self._control, MAX_BYTES, _DESCRIPTORS)
        if not message:
            return False
        answers, blob_fd = socket.socket(fileno=fds[0]), fds[1]
        try:
            self._fork(Request.parse(message), answers, blob_fd)
        except OSError as error:
            answers.send(Verdict.of(Unavailable(f"no process to unpack a layer: {error.strerror}")).encode())
            answers.close()
        os.close(blob_fd)
        return True

    def _fork(self, request: Request, answers: socket.socket, blob_fd: int) -> None:
        parent = os.getpid()
        pid = os.fork()
        if pid == 0:
            self._close_all()
            _unpack_and_exit(request, answers, blob_fd, parent)
        layer = _Layer(pid, os.pidfd_open(pid), answers)
        self._layers.append(layer)
        self._poll.register(layer.pid_fd, select.POLLIN)
        self._poll.register(answers, select.POLLIN | select.POLLRDHUP)

    def _close_all(self) -> None:
        """In the new process: what belongs to others."""
        self._control.close()
        for layer in self._layers:
            layer.answers.close()
            os.close(layer.pid_fd)

    def _reap(self, layer: _Layer) -> None:
        _, status = os.waitpid(layer.pid, 0)
        self._layers.remove(layer)
        self._poll.unregister(layer.pid_fd)
        if layer.answers.fileno() >= 0:
            self._forget(layer.answers)
        os.close(layer.pid_fd)
        with layer.answers:
            _send(layer.answers, Ended(os.waitstatus_to_exitcode(status)).encode())

    def _forget(self, answers: socket.socket) -> None:
        try:
            self._poll.unregister(answers)
        except KeyError:
            return


def _unpack_and_exit(request: Request, answers: socket.socket, blob_fd: int, parent: int) -> None:
    """Give a verdict and end the process, whatever happens."""
    budget = budget_for(os.fstat(blob_fd).st_size)
    try:
        die_with_parent(parent)
        _unpack(request, blob_fd, budget)
        verdict = Verdict("", "")
    except ShoalError as error:
        verdict = Verdict.of(error)
    except OSError as error:
        verdict = Verdict.of(disk_error(error, "layers"))
    except MemoryError:
        verdict = Verdict.of(
            InvalidInput(f"the layer takes more than {budget.memory_bytes >> 20} MiB of memory to unpack")
        )
    except BaseException as error:
        sys.excepthook(type(error), error, error.__traceback__)
        verdict = Verdict.of(Unavailable(f"the layer was not unpacked: {error!r}"))
    _send(answers, verdict.encode())
    os._exit(0)


def _unpack(request: Request, blob_fd: int, budget: LayerBudget) -> None:
    with open(blob_fd, "rb") as blob:  # a descriptor
        confine(f"/{request.directory}", budget)
        root_fd, discarded_fd = (os.open(f"/{name}", os.O_RDONLY | os.O_DIRECTORY) for name in ("layer", "discarded"))
        guard = DiskGuard(
            root_fd, reserve_bytes=request.reserve_bytes, on_check=lambda: more_processor_time(budget.more_seconds)
        )
        unpack(blob, root_fd, discarded_fd, diff_id=request.diff_id, budget=budget, disk=guard)


def _send(answers: socket.socket, message: bytes) -> None:
    """Nobody may be there any more."""
    try:
        os.write(answers.fileno(), message)
    except OSError:
        return


def main(arguments: Sequence[str]) -> None:
    """Serve at a socket that was handed down under a number, for layers in a directory."""
    os.umask(_UMASK)
    be_first_to_die()
    see_only(arguments[1])
    gc.collect()
    gc.freeze()  # what a process shares with this one stays shared
    Server(socket.socket(fileno=int(arguments[0]))).run()


if __name__ == "__main__":
    main(sys.argv[1:])
