"""What the kernel must have for containers, told at once and by name, not by the first task that fails."""

import ctypes
import errno
import os
from collections.abc import Callable, Iterator

from shoal.errors import Unavailable

_FSOPEN = 430  # the same on all architectures
_libc = ctypes.CDLL(None, use_errno=True)


def require_host() -> None:
    """See that containers can be made here.

    Raises:
        Unavailable: they cannot; the text names all that is missing.
    """
    if lacking := list(missing(open_file_system=_fsopen, user=os.geteuid())):
        raise Unavailable("this host cannot run containers: " + "; ".join(lacking))


def missing(*, open_file_system: Callable[[str], int], user: int) -> Iterator[str]:
    """What is missing, and what to do, a line each. Pure.

    Args:
        open_file_system: gives an error number of fsopen(2) for a kind of file system, 0 where the kernel has it.
        user: effective user id of the agent.
    """
    if user != 0:
        yield "the agent must run as root"
    refused = open_file_system("overlay")
    if refused == errno.ENODEV:
        yield ("the kernel has no overlayfs (CONFIG_OVERLAY_FS): load the module overlay, or use a kernel that has it")
    elif refused == errno.ENOSYS:
        yield "the kernel is older than Linux 5.2"


def _fsopen(kind: str) -> int:
    found = _libc.syscall(_FSOPEN, ctypes.c_char_p(kind.encode()), 1)
    if found < 0:
        return ctypes.get_errno()
    os.close(found)
    return 0
