"""Joins a running container's network: its namespace, its host name, and its files of /etc."""

import errno
import json
import os

from agent.runtime.container_paths import ContainerPaths, ContainerRecord
from agent.runtime.kernel.processes import open_pidfd, wait_pidfd
from agent.safe_paths.regular_files import read_regular
from agent.worker.sandbox import Sandbox, SharedNamespace
from shoal.errors import InvalidInput, NotFound

FILES = ("/etc/hostname", "/etc/hosts", "/etc/resolv.conf")
MAX_FILE_BYTES = 2 << 20
"""For each of these files: more than a container can write to them."""
_UNFIT = (errno.EINVAL, errno.EFBIG, errno.ELOOP, errno.EXDEV, errno.EAGAIN)


def open_namespace(record: ContainerRecord, kind: str) -> int:
    """A descriptor of a running container's namespace, "net", "pid" or "ipc"; the caller closes it.

    Raises:
        NotFound: it has exited.
    """
    gone = NotFound(f"task {record.task_id} is not running")
    pidfd = open_pidfd(record.pid, record.pid_started)
    if pidfd is None:
        raise gone
    try:
        namespace = os.open(f"/proc/{record.pid}/ns/{kind}", os.O_RDONLY | os.O_CLOEXEC)
        if wait_pidfd(pidfd, 0):
            os.close(namespace)
            raise gone
        return namespace
    except (FileNotFoundError, ProcessLookupError) as error:
        raise gone from error
    finally:
        os.close(pidfd)


def join_network(paths: ContainerPaths, record: ContainerRecord) -> Sandbox:
    """As `Runtime.join_network`. The container may exit, and change its files, at any moment."""
    namespace = open_namespace(record, "net")
    try:
        shared = SharedNamespace(*_names(paths, record), _files(record))
        os.close(open_namespace(record, "net"))  # it has not exited meanwhile
    except (FileNotFoundError, ProcessLookupError) as error:
        os.close(namespace)
        raise NotFound(f"task {record.task_id} is not running") from error
    except BaseException:
        os.close(namespace)
        raise
    return Sandbox(namespace, {}, "", shared=shared)


def _names(paths: ContainerPaths, record: ContainerRecord) -> tuple[str, str]:
    """Host name and domain name from the container's spec."""
    spec = json.loads((paths.bundle(record.task_id) / "config.json").read_bytes())
    return spec.get("hostname", ""), spec["linux"].get("sysctl", {}).get("kernel.domainname", "")


def _files(record: ContainerRecord) -> dict[str, bytes]:
    root = os.open(f"/proc/{record.pid}/root", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        found = {path: _read(root, path, record.task_id) for path in FILES}
    finally:
        os.close(root)
    return {path: content for path, content in found.items() if content is not None}


def _read(root: int, path: str, task_id: str) -> bytes | None:
    try:
        return read_regular(root, path, max_bytes=MAX_FILE_BYTES)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        if error.errno in _UNFIT:
            raise InvalidInput(f"cannot share {path} of task {task_id}: {error.strerror}") from None
        raise
