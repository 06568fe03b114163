"""Keeps a running container's /etc/hosts in step with its addresses."""

import errno
import json
import os
from collections.abc import Collection
from pathlib import Path

from agent.runtime.container_paths import ContainerPaths, ContainerRecord
from agent.runtime.kernel.processes import open_pidfd
from agent.runtime.rootfs.mounted_files import ETC_SOURCE
from agent.safe_paths.mountinfo import MountEntry, parse_mountinfo
from agent.safe_paths.system_calls import open_in_root
from shoal.errors import NotFound, Unavailable

HOSTS = "/etc/hosts"
MAX_BYTES = 2 << 20
"""More than a container can write to the file."""
WITHOUT_ADDRESS = "127.0.1.1"
"""Of the own name of a container without a network."""


def set_addresses(paths: ContainerPaths, record: ContainerRecord, addresses: Collection[str]) -> None:
    """Put a container's addresses into its /etc/hosts, beside its own name; what else is there stays.

    One that was replaced, by a mount of its user's for instance, is left alone.

    Raises:
        NotFound: the container has exited. Unavailable: the file cannot be written.
    """
    pidfd = open_pidfd(record.pid, record.pid_started)
    if pidfd is None:
        raise NotFound(f"task {record.task_id} is not running")
    try:
        hostname = json.loads((paths.bundle(record.task_id) / "config.json").read_bytes()).get("hostname", "")
        root = os.open(f"/proc/{record.pid}/root", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            _rewrite(root, record.pid, hostname, addresses)
        finally:
            os.close(root)
    except (FileNotFoundError, NotADirectoryError, ProcessLookupError):
        return  # it has ended meanwhile, or has no such file
    except OSError as error:
        raise Unavailable(f"{HOSTS} of task {record.task_id} cannot be written: {error.strerror}") from error
    finally:
        os.close(pidfd)


def _rewrite(root: int, pid: int, hostname: str, addresses: Collection[str]) -> None:
    found = open_in_root(root, HOSTS, os.O_PATH)
    try:
        mount = _mount_of(found, pid)
        if not hostname or mount is None or (mount.kind, mount.source) != ("tmpfs", ETC_SOURCE):
            return
        # A lease of the container's (fcntl(2)) could otherwise block the open.
        flags = os.O_RDWR | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
        with os.fdopen(os.open(f"/proc/self/fd/{found}", flags), "r+b", buffering=0) as file:
            content = os.pread(file.fileno(), MAX_BYTES + 1, 0)
            if len(content) > MAX_BYTES:
                raise OSError(errno.EFBIG, os.strerror(errno.EFBIG))
            if (changed := with_addresses(content, hostname, addresses)) != content:
                os.pwrite(file.fileno(), changed, 0)
                os.ftruncate(file.fileno(), len(changed))
    finally:
        os.close(found)


def with_addresses(content: bytes, hostname: str, addresses: Collection[str]) -> bytes:
    """The file with these addresses for the own name, where the earlier ones were, else at the end. Pure."""
    own = [b"%s\t%s" % (address.encode(), hostname.encode()) for address in addresses or (WITHOUT_ADDRESS,)]
    lines: list[bytes] = []
    place: int | None = None
    for line in content.split(b"\n"):
        name = line.partition(b"\t")[2]
        if name == hostname.encode() and not line.startswith(b"#"):
            place = len(lines) if place is None else place
        else:
            lines.append(line)
    if place is None:
        place = len(lines) - (lines[-1] == b"")
    return b"\n".join([*lines[:place], *own, *lines[place:]])


def _mount_of(found: int, pid: int) -> MountEntry | None:
    """The mount that the file is on, in the container's mount namespace."""
    with Path(f"/proc/self/fdinfo/{found}").open() as info:
        numbers = [line.split()[1] for line in info if line.startswith("mnt_id:")]
    with Path(f"/proc/{pid}/mountinfo").open(errors="surrogateescape") as table:
        for line in table:
            if numbers and line.startswith(f"{numbers[0]} "):
                return next(iter(parse_mountinfo(line.rstrip("\n"))), None)
    return None
