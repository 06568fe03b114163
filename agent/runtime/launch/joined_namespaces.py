"""Namespaces of processes and of inter-process communication that a container shares with another one."""

import os
import threading
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from agent.runtime.container_paths import ContainerRecord
from agent.runtime.kernel.linux import CLONE_FS, CLONE_NEWNS, clone_mount, move_mount, set_namespace, unshare
from agent.runtime.network_join import open_namespace
from agent.worker.container_runtime import ContainerRequest
from shoal.errors import NotFound, Unavailable

SHARED_MEMORY = "/dev/shm"  # noqa: S108 - a mount point
_SHM = Path(SHARED_MEMORY)


@dataclass(frozen=True)
class JoinedNamespaces:
    """Descriptors of this process.

    Attributes:
        by_kind: of the namespaces, "pid" and "ipc".
        shared_memory: of a copy of the other one's mount at /dev/shm; -1 without one.
    """

    by_kind: dict[str, int] = field(default_factory=dict)
    shared_memory: int = -1


NOTHING_JOINED = JoinedNamespaces()


@contextmanager
def joined_namespaces(
    request: ContainerRequest, find_running: Callable[[str], ContainerRecord]
) -> Generator[JoinedNamespaces]:
    """What the request joins, open until the end of the block. Blocking.

    Args:
        find_running: the record of a running container, by its task's id; raises NotFound.
    Raises:
        NotFound: one of them is not running. Unavailable: the kernel cannot share a mount.
    """
    desired = {"pid": request.pid_task_id, "ipc": request.ipc_task_id}
    with ExitStack() as opened:
        found: dict[str, int] = {}
        for kind, task_id in desired.items():
            if task_id:
                found[kind] = _open(find_running, task_id, kind)
                opened.callback(os.close, found[kind])
        memory = -1
        if request.ipc_task_id:
            memory = _shared_memory(find_running(request.ipc_task_id))
            opened.callback(os.close, memory)
        yield JoinedNamespaces(found, memory)


def mount_shared_memory(joined: JoinedNamespaces, directory: Path) -> Path | None:
    """Mount the other one's /dev/shm at a new directory, in the calling thread's mount namespace; None without it."""
    if joined.shared_memory < 0:
        return None
    directory.mkdir(mode=0o700)
    move_mount(joined.shared_memory, directory)
    return directory


def _open(find_running: Callable[[str], ContainerRecord], task_id: str, kind: str) -> int:
    try:
        return open_namespace(find_running(task_id), kind)
    except NotFound as error:
        raise NotFound(f"cannot join {kind.upper()} namespace of a non running container: {error}") from error


def _shared_memory(record: ContainerRecord) -> int:
    """A copy of the mount, taken in the container's mount namespace, which a thread of its own enters."""
    namespace, found = open_namespace(record, "mnt"), list[int | OSError]()

    def enter() -> None:
        try:
            unshare(CLONE_FS)
            set_namespace(namespace, CLONE_NEWNS)
            found.append(clone_mount(_SHM))
        except OSError as error:
            found.append(error)

    thread = threading.Thread(target=enter, name="shared memory")
    thread.start()
    thread.join()
    os.close(namespace)
    (result,) = found
    if isinstance(result, OSError):
        raise Unavailable(f"cannot share {SHARED_MEMORY} of task {record.task_id}: {result.strerror}") from result
    return result
