"""Finds files in a container's root, as a process of the container would, but never in file systems of the kernel.

Reading or writing a file of /proc or /sys acts on the host's kernel with the agent's rights, whatever a container
itself may do there. So these file systems are as if they were empty.
"""

import ctypes
import errno
import os
import stat
from typing import NamedTuple

from agent.safe_paths.system_calls import open_in_root
from shoal.errors import InvalidInput, NotFound, Refused

PATH_ONLY = os.O_PATH | os.O_NOFOLLOW
MAX_PATH_BYTES = 4095

_KERNEL_FILE_SYSTEMS = {
    0x9FA0: "proc",
    0x62656572: "sysfs",
    0x27E0EB: "cgroup",
    0x63677270: "cgroup2",
    0x1CD1: "devpts",
    0x64626720: "debugfs",
    0x74726163: "tracefs",
    0x73636673: "securityfs",
    0xCAFE4A11: "bpf",
    0x6165676C: "pstore",
    0xDE5E81E4: "efivarfs",
    0x19800202: "mqueue",
    0x42494E4D: "binfmt_misc",
    0x62656570: "configfs",
    0x6E736673: "nsfs",
}
"""By the numbers of statfs(2), f_type."""

_libc = ctypes.CDLL(None, use_errno=True)


class FoundFile(NamedTuple):
    """A file or directory of a container.

    Attributes:
        descriptor: O_PATH; the caller closes it.
        name: last component of its path; "/" for the root itself.
        link_target: of a symbolic link, as it is there; otherwise empty.
    """

    descriptor: int
    name: str
    status: os.stat_result
    link_target: str


def find(root: int, path: str, *, follow: bool) -> FoundFile:
    """The file at an absolute path of the container.

    Args:
        follow: also a symbolic link at the path's end; those before it are always followed.
    Raises:
        NotFound: there is none. InvalidInput: the path is none, or has too many links.
        Refused: it is in a file system of the kernel.
    """
    check_path(path)
    descriptor = open_path(root, path, os.O_PATH if follow else PATH_ONLY)
    try:
        status = os.fstat(descriptor)
        require_ordinary(descriptor, path)
        target = os.readlink("", dir_fd=descriptor) if stat.S_ISLNK(status.st_mode) else ""
    except BaseException:
        os.close(descriptor)
        raise
    return FoundFile(descriptor, path.rstrip("/").rpartition("/")[2] or "/", status, target)


def open_path(root: int, path: str, flags: int) -> int:
    """As `open_in_root`, with errors for the user."""
    try:
        return open_in_root(root, path, flags)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR):
            raise NotFound(f"no such file or directory in the container: {shown(path)}") from None
        raise InvalidInput(f"cannot open {shown(path)} in the container: {error.strerror}") from None


def check_path(path: str) -> None:
    """Raises InvalidInput if it is not an absolute path."""
    if not path.startswith("/") or "\0" in path or len(os.fsencode(path)) > MAX_PATH_BYTES:
        raise InvalidInput(f"path: {shown(path)} is not an absolute path")


def require_ordinary(descriptor: int, path: str) -> None:
    """Raises Refused if an open file is in a file system of the kernel."""
    if kind := kernel_file_system(descriptor):
        raise Refused(f"{shown(path)} is in a file system of the kernel ({kind}), which is not copied")


def kernel_file_system(descriptor: int) -> str:
    """Its name, if the file system of an open file is one of the kernel's; otherwise empty."""
    buffer = ctypes.create_string_buffer(256)
    if _libc.fstatfs(descriptor, buffer) < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return _KERNEL_FILE_SYSTEMS.get(ctypes.c_ulong.from_buffer(buffer).value & 0xFFFFFFFF, "")


def shown(path: str) -> str:
    """A path for an error message: short, without terminal escape sequences."""
    return ascii(path if len(path) <= 120 else path[:120] + "…")
