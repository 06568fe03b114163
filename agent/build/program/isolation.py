"""Puts a build program into namespaces of its own, so that all it starts and mounts ends with it.

The program is the first process of a process namespace: when it ends, however it does, the kernel kills every container
of the build. What it mounts is in a mount namespace that ends with it too.
"""

import ctypes
import os
import signal
from contextlib import suppress
from pathlib import Path

from agent.images.layers.sandbox import die_with_parent, prefer_oom_kill
from agent.runtime.kernel.linux import CLONE_NEWNS, MS_NODEV, MS_NOSUID, MS_PRIVATE, MS_REC, mount, unmount, unshare

_CLONE_NEWPID = 0x2000_0000
_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)


def enter_namespaces(parent: int) -> None:
    """Return in the first process of a new process namespace; the calling process only waits for it, and then exits.

    SIGTERM to the waiting one kills the other; when it exits, all processes of the namespace are gone.

    Args:
        parent: the agent's process; this one ends with it.
    Raises:
        OSError: the kernel refused.
    """
    die_with_parent(parent)
    prefer_oom_kill()
    unshare(CLONE_NEWNS | _CLONE_NEWPID)
    pid = os.fork()
    if pid:
        process = os.pidfd_open(pid)
        signal.signal(signal.SIGTERM, lambda *_: _kill(process))
        _, status = os.waitpid(pid, 0)
        os._exit(abs(os.waitstatus_to_exitcode(status)))
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    mount("none", "/", None, MS_REC | MS_PRIVATE)
    mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV)


def _kill(process: int) -> None:
    with suppress(ProcessLookupError):  # it has just exited
        signal.pidfd_send_signal(process, signal.SIGKILL)


def hide(path: str) -> None:
    """Remove a mount of the host from this namespace: crun does not support the unified hierarchy of hybrid hosts."""
    if path:
        unmount(Path(path))
