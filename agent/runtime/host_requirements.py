"""Checks at the start that the kernel supports containers, instead of failing with the first task."""

import ctypes
import errno
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from agent.runtime.kernel.cgroup_layout import parse_layout
from shoal.errors import Unavailable

_FSOPEN = 430  # the same on all architectures
_libc = ctypes.CDLL(None, use_errno=True)


def require_host() -> None:
    """Check that this host can run containers.

    Raises:
        Unavailable: it cannot; the text names everything that is missing.
    """
    if problems := list(missing(open_file_system=_fsopen, user=os.geteuid(), read_only_cgroups=_read_only_cgroups())):
        raise Unavailable("this host cannot run containers: " + "; ".join(problems))


def overlay_error() -> int:
    """The error number of fsopen(2) for overlayfs; 0 if the kernel supports it."""
    return _fsopen("overlay")


def missing(
    *, open_file_system: Callable[[str], int], user: int, read_only_cgroups: Iterable[Path] = ()
) -> Iterator[str]:
    """What is missing and what to do, one line each. Pure.

    Args:
        open_file_system: returns the error number of fsopen(2) for a file system type, 0 if the kernel supports it.
        user: effective user id of the agent.
        read_only_cgroups: where hierarchies are mounted read-only, as in a container without privileges.
    """
    if user != 0:
        yield "the agent must run as root"
    refused = open_file_system("overlay")
    if refused == errno.ENODEV:
        yield ("the kernel has no overlayfs (CONFIG_OVERLAY_FS): load the module overlay, or use a kernel that has it")
    elif refused == errno.ENOSYS:
        yield "the kernel is older than Linux 5.2"
    if places := ", ".join(map(str, read_only_cgroups)):
        yield f"cgroups are read-only in {places}: mount them with rw, or run the agent where it may write to them"


def _read_only_cgroups() -> list[Path]:
    layout = parse_layout(Path("/proc/self/mountinfo").read_text())
    return [each for each in layout.directories("") if os.statvfs(each).f_flag & os.ST_RDONLY]


def _fsopen(kind: str) -> int:
    found = _libc.syscall(_FSOPEN, ctypes.c_char_p(kind.encode()), 1)
    if found < 0:
        return ctypes.get_errno()
    os.close(found)
    return 0
