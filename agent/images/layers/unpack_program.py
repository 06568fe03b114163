"""The program that unpacks layers for the agent: `main`, with a descriptor and a directory.

It waits at a socket for layers and forks for each: what a layer does to its process ends with that process, and a fork
takes 2 ms where starting Python takes 15. It imports what unpacking needs and nothing else (no event loop, no gRPC),
and sees nothing of the host but a directory.

The first pull after a while waits for it to start, so what is slow to load has to wait in turn: Zstandard is loaded
when there was nothing to do for a moment, and after it the view of the host's files is given up, by which nothing can
be loaded any more. A process for a layer that comes before that does both itself.

A request is a message of `<diff id> <name> <bytes of the disk's reserve>` with two descriptors: the socket for its
answers, and the blob. The name is that of a directory in the program's own, with the empty directories `layer` and
`discarded` in it. The answers are the verdict of the process that unpacks, if that lives to give one, and then how it
ended. When the agent closes its side, or ends, so does the work.
"""

import _socket  # socket, signal and typing, with what those import, would double the time that the start takes
import gc
import os
import select
import sys
from collections.abc import Sequence

from agent.images.disk_guard import DiskGuard, disk_error
from agent.images.layers.budget import LayerBudget, budget_for
from agent.images.layers.inflate import is_zstd
from agent.images.layers.layer_unpack import extract_layer
from agent.images.layers.sandbox import change_root, die_with_parent, drop_privileges, extend_cpu_limit, prefer_oom_kill
from agent.images.layers.unpack_messages import MAX_BYTES, ProcessExit, UnpackRequest, UnpackResult
from shoal.errors import InvalidInput, ShoalError, Unavailable

_UMASK = 0o022
_DESCRIPTOR_BYTES = 4
_SIGKILL = 9
_IDLE_MS = 100
"""Without a layer after the start: time for what is slow to load."""


class _RunningLayer:
    """One being unpacked: its process and where its answers go."""

    def __init__(self, pid: int, answers: _socket.socket) -> None:
        self.pid = pid
        self.pid_fd = os.pidfd_open(pid)
        self.answers = answers


class UnpackServer:
    """Takes layers from a socket until its other side is closed.

    Args:
        directory: that the layers' directories are in.
    """

    def __init__(self, control: _socket.socket, directory: str) -> None:
        self._control = control
        self._directory = directory
        self._is_loaded = False
        self._layers: list[_RunningLayer] = []
        self._poll = select.poll()
        self._poll.register(control, select.POLLIN)

    def run(self) -> None:
        """Serve; all processes are gone when it returns."""
        gc.freeze()  # what a process shares with this one stays shared
        while True:
            ready = {fd for fd, _ in self._poll.poll(None if self._is_loaded else _IDLE_MS)}
            if not ready and not self._is_loaded:
                self._finish_loading()
                continue
            for layer in tuple(self._layers):
                if layer.pid_fd in ready:
                    self._reap(layer)
                elif layer.answers.fileno() in ready:  # the agent gives up
                    self._poll.unregister(layer.answers)
                    os.kill(layer.pid, _SIGKILL)
            if self._control.fileno() in ready and not self._accept():
                break
        for layer in tuple(self._layers):
            os.kill(layer.pid, _SIGKILL)
            self._reap(layer)

    def _finish_loading(self) -> None:
        """Load slow modules, then change the root."""
        _load_zstd()
        change_root(self._directory)
        gc.collect()
        gc.freeze()
        self._is_loaded = True

    def _accept(self) -> bool:
        """Start on the next layer; whether there was one."""
        message, sent, _, _ = self._control.recvmsg(MAX_BYTES, _socket.CMSG_LEN(2 * _DESCRIPTOR_BYTES))
        if not message:
            return False
        fds = sent[0][2]
        answers_fd, blob_fd = (
            int.from_bytes(each, sys.byteorder) for each in (fds[:_DESCRIPTOR_BYTES], fds[_DESCRIPTOR_BYTES:])
        )
        answers = _socket.socket(fileno=answers_fd)
        try:
            self._fork(UnpackRequest.parse(message), answers, blob_fd)
        except OSError as error:
            answers.send(
                UnpackResult.of(Unavailable(f"cannot start a process to unpack the layer: {error.strerror}")).encode()
            )
            answers.close()
        os.close(blob_fd)
        return True

    def _fork(self, request: UnpackRequest, answers: _socket.socket, blob_fd: int) -> None:
        parent = os.getpid()
        pid = os.fork()
        if pid == 0:
            self._close_all()
            _unpack_and_exit(request, answers, blob_fd, parent, "" if self._is_loaded else self._directory)
        layer = _RunningLayer(pid, answers)
        self._layers.append(layer)
        self._poll.register(layer.pid_fd, select.POLLIN)
        self._poll.register(answers, select.POLLIN | select.POLLRDHUP)

    def _close_all(self) -> None:
        """In the new process: what belongs to others."""
        self._control.close()
        for layer in self._layers:
            layer.answers.close()
            os.close(layer.pid_fd)

    def _reap(self, layer: _RunningLayer) -> None:
        _, status = os.waitpid(layer.pid, 0)
        self._layers.remove(layer)
        self._poll.unregister(layer.pid_fd)
        if layer.answers.fileno() >= 0:
            self._stop_polling(layer.answers)
        os.close(layer.pid_fd)
        _send(layer.answers, ProcessExit(os.waitstatus_to_exitcode(status)).encode())
        layer.answers.close()

    def _stop_polling(self, answers: _socket.socket) -> None:
        try:
            self._poll.unregister(answers)
        except KeyError:
            return


def _load_zstd() -> None:
    import agent.images.layers.inflate_zstd  # noqa: F401


def _unpack_and_exit(request: UnpackRequest, answers: _socket.socket, blob_fd: int, parent: int, new_root: str) -> None:
    """Give a verdict and end the process, whatever happens.

    Args:
        new_root: the directory that is all it is to see of the host; empty: it sees nothing else as it is.
    """
    budget = budget_for(os.fstat(blob_fd).st_size)
    try:
        die_with_parent(parent)
        _unpack(request, blob_fd, budget, new_root)
        verdict = UnpackResult("", "")
    except ShoalError as error:
        verdict = UnpackResult.of(error)
    except OSError as error:
        verdict = UnpackResult.of(disk_error(error, "layers"))
    except MemoryError:
        verdict = UnpackResult.of(
            InvalidInput(f"unpacking the layer exceeded the memory limit of {budget.memory_bytes >> 20} MiB")
        )
    except BaseException as error:
        sys.excepthook(type(error), error, error.__traceback__)
        verdict = UnpackResult.of(Unavailable(f"the layer could not be unpacked: {error!r}"))
    _send(answers, verdict.encode())
    os._exit(0)


def _unpack(request: UnpackRequest, blob_fd: int, budget: LayerBudget, new_root: str) -> None:
    with open(blob_fd, "rb") as blob:  # a descriptor
        if new_root:
            if is_zstd(blob):
                _load_zstd()
            change_root(new_root)
        drop_privileges(f"/{request.directory}", budget)
        root_fd, discarded_fd = (os.open(f"/{name}", os.O_RDONLY | os.O_DIRECTORY) for name in ("layer", "discarded"))
        guard = DiskGuard(
            root_fd, reserve_bytes=request.reserve_bytes, on_check=lambda: extend_cpu_limit(budget.more_seconds)
        )
        extract_layer(blob, root_fd, discarded_fd, diff_id=request.diff_id, budget=budget, disk=guard)


def _send(answers: _socket.socket, message: bytes) -> None:
    """Nobody may be there any more."""
    try:
        os.write(answers.fileno(), message)
    except OSError:
        return


def main(arguments: Sequence[str]) -> None:
    """Serve at a socket that was handed down under a number, for layers in a directory."""
    os.umask(_UMASK)
    prefer_oom_kill()
    UnpackServer(_socket.socket(fileno=int(arguments[0])), arguments[1]).run()
    os._exit(0)  # nothing is left to be done: Python would take its time to take everything down
