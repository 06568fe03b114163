"""The program that unpacks layers for the agent: `main`, with a descriptor and a directory.

It receives layers from a socket and forks for each: whatever a layer does to its process ends with that process, and a
fork takes 2 ms where starting Python takes 15. It imports only what unpacking needs (no event loop, no gRPC), and sees
nothing of the host but one directory.

The first pull after a while waits for the program to start, so modules that are slow to load are loaded later:
Zstandard is loaded when the program has been idle for a moment, and then the root is changed, after which nothing can
be loaded any more. A process for a layer that arrives earlier does both itself.

A request is a message of `<diff id> <name> <bytes of the disk's reserve>` with two descriptors: the socket for its
replies, and the blob. The name is that of a subdirectory of the program's directory, with the empty directories `layer`
and `discarded` in it. The replies are the result of the unpacking process, if it lives to send one, and then its exit
code. When the agent closes its end, or exits, the work is aborted.
"""

import _socket  # socket, signal and typing, with their imports, would double the start time
import gc
import os
import select
import sys
from collections.abc import Sequence

from agent.images.disk_guard import DiskGuard, disk_error
from agent.images.layers.inflate import is_zstd
from agent.images.layers.layer_unpack import extract_layer
from agent.images.layers.sandbox import change_root, die_with_parent, drop_privileges, extend_cpu_limit, prefer_oom_kill
from agent.images.layers.unpack_messages import MAX_BYTES, ProcessExit, UnpackRequest, UnpackResult
from shoal.errors import InvalidInput, ShoalError, Unavailable
from shoal.tar.budget import LayerBudget, budget_for

_UMASK = 0o022
_DESCRIPTOR_BYTES = 4
_SIGKILL = 9
_IDLE_MS = 100
"""Idle time after the start before slow modules are loaded."""


class _RunningLayer:
    """A layer that is being unpacked: its process and the socket for replies."""

    def __init__(self, pid: int, replies: _socket.socket) -> None:
        self.pid = pid
        self.pid_fd = os.pidfd_open(pid)
        self.replies = replies


class UnpackServer:
    """Receives layers from a socket until the other end is closed.

    Args:
        directory: contains the layers' directories.
    """

    def __init__(self, control: _socket.socket, directory: str) -> None:
        self._control = control
        self._directory = directory
        self._is_loaded = False
        self._layers: list[_RunningLayer] = []
        self._poll = select.poll()
        self._poll.register(control, select.POLLIN)

    def run(self) -> None:
        """Serve; all processes have exited when it returns."""
        gc.freeze()  # memory that a child shares with this process stays shared
        while True:
            ready = {fd for fd, _ in self._poll.poll(None if self._is_loaded else _IDLE_MS)}
            if not ready and not self._is_loaded:
                self._finish_loading()
                continue
            for layer in tuple(self._layers):
                if layer.pid_fd in ready:
                    self._reap(layer)
                elif layer.replies.fileno() in ready:  # the agent has cancelled the request
                    self._poll.unregister(layer.replies)
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
        """Start unpacking the next layer; False if the other end is closed."""
        message, sent, _, _ = self._control.recvmsg(MAX_BYTES, _socket.CMSG_LEN(2 * _DESCRIPTOR_BYTES))
        if not message:
            return False
        fds = sent[0][2]
        replies_fd, blob_fd = (
            int.from_bytes(each, sys.byteorder) for each in (fds[:_DESCRIPTOR_BYTES], fds[_DESCRIPTOR_BYTES:])
        )
        replies = _socket.socket(fileno=replies_fd)
        try:
            self._fork(UnpackRequest.parse(message), replies, blob_fd)
        except OSError as error:
            replies.send(
                UnpackResult.of(Unavailable(f"cannot start a process to unpack the layer: {error.strerror}")).encode()
            )
            replies.close()
        os.close(blob_fd)
        return True

    def _fork(self, request: UnpackRequest, replies: _socket.socket, blob_fd: int) -> None:
        parent = os.getpid()
        pid = os.fork()
        if pid == 0:
            self._close_all()
            _unpack_and_exit(request, replies, blob_fd, parent, "" if self._is_loaded else self._directory)
        layer = _RunningLayer(pid, replies)
        self._layers.append(layer)
        self._poll.register(layer.pid_fd, select.POLLIN)
        self._poll.register(replies, select.POLLIN | select.POLLRDHUP)

    def _close_all(self) -> None:
        """In the new process: close what belongs to others."""
        self._control.close()
        for layer in self._layers:
            layer.replies.close()
            os.close(layer.pid_fd)

    def _reap(self, layer: _RunningLayer) -> None:
        _, status = os.waitpid(layer.pid, 0)
        self._layers.remove(layer)
        self._poll.unregister(layer.pid_fd)
        if layer.replies.fileno() >= 0:
            self._stop_polling(layer.replies)
        os.close(layer.pid_fd)
        _send(layer.replies, ProcessExit(os.waitstatus_to_exitcode(status)).encode())
        layer.replies.close()

    def _stop_polling(self, replies: _socket.socket) -> None:
        try:
            self._poll.unregister(replies)
        except KeyError:
            return


def _load_zstd() -> None:
    import agent.images.layers.inflate_zstd  # noqa: F401


def _unpack_and_exit(request: UnpackRequest, replies: _socket.socket, blob_fd: int, parent: int, new_root: str) -> None:
    """Send a result and exit, whatever happens.

    Args:
        new_root: the directory to make the root; empty if the root has been changed already.
    """
    budget = budget_for(os.fstat(blob_fd).st_size)
    try:
        die_with_parent(parent)
        _unpack(request, blob_fd, budget, new_root)
        result = UnpackResult("", "")
    except ShoalError as error:
        result = UnpackResult.of(error)
    except OSError as error:
        result = UnpackResult.of(disk_error(error, "layers"))
    except MemoryError:
        result = UnpackResult.of(
            InvalidInput(f"unpacking the layer exceeded the memory limit of {budget.memory_bytes >> 20} MiB")
        )
    except BaseException as error:
        sys.excepthook(type(error), error, error.__traceback__)
        result = UnpackResult.of(Unavailable(f"the layer could not be unpacked: {error!r}"))
    _send(replies, result.encode())
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


def _send(replies: _socket.socket, message: bytes) -> None:
    """The other end may be closed."""
    try:
        os.write(replies.fileno(), message)
    except OSError:
        return


def main(arguments: Sequence[str]) -> None:
    """Serve on an inherited socket, given by its descriptor, for layers in a directory."""
    os.umask(_UMASK)
    prefer_oom_kill()
    UnpackServer(_socket.socket(fileno=int(arguments[0])), arguments[1]).run()
    os._exit(0)  # skips Python's slow shutdown
