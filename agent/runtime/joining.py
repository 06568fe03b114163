"""The network of a container that runs, for another one to share: its namespace, its names, its files of /etc."""

import errno
import json
import os

from agent.beneath.regular import read_regular
from agent.runtime.places import Places, Record, open_process
from agent.runtime.scrap import ended
from agent.worker.sandbox import Sandbox, SharedNames
from shoal.errors import InvalidInput, NotFound

FILES = ("/etc/hostname", "/etc/hosts", "/etc/resolv.conf")
MOST_BYTES = 2 << 20
"""Of each of these files: more than a container can write to them."""
_UNFIT = (errno.EINVAL, errno.EFBIG, errno.ELOOP, errno.EXDEV, errno.EAGAIN)


def join(places: Places, record: Record) -> Sandbox:
    """As `Runtime.join`. The container may end, and change its files, at any moment of this."""
    pidfd = open_process(record.pid, record.pid_started)
    if pidfd is None:
        raise NotFound(f"task {record.task_id} does not run")
    try:
        namespace = os.open(f"/proc/{record.pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        try:
            names = SharedNames(*_names(places, record), _files(record))
            if ended(pidfd, 0):
                raise NotFound(f"task {record.task_id} does not run")
        except BaseException:
            os.close(namespace)
            raise
    except (FileNotFoundError, ProcessLookupError) as error:
        raise NotFound(f"task {record.task_id} does not run") from error
    finally:
        os.close(pidfd)
    return Sandbox(namespace, {}, "", shared=names)


def _names(places: Places, record: Record) -> tuple[str, str]:
    """Host name and domain name, of the spec that it was started with."""
    spec = json.loads((places.bundle(record.task_id) / "config.json").read_bytes())
    return spec.get("hostname", ""), spec["linux"].get("sysctl", {}).get("kernel.domainname", "")


def _files(record: Record) -> dict[str, bytes]:
    root = os.open(f"/proc/{record.pid}/root", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        found = {path: _read(root, path, record.task_id) for path in FILES}
    finally:
        os.close(root)
    return {path: content for path, content in found.items() if content is not None}


def _read(root: int, path: str, task_id: str) -> bytes | None:
    try:
        return read_regular(root, path, most_bytes=MOST_BYTES)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        if error.errno in _UNFIT:
            raise InvalidInput(f"{path} of task {task_id} cannot be shared: {error.strerror}") from None
        raise
