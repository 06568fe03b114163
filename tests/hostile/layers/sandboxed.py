"""What code could do that a layer has made its own, in the process that unpacks: a program, which says how it went.

`python -m tests.hostile.layers.sandboxed DIRECTORY WHAT`, with a directory that holds one named `layer`.
"""

import ctypes
import os
import socket
import stat
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from agent.images.layers.sandbox import change_root, drop_privileges, prefer_oom_kill
from shoal.tar.budget import LayerBudget

_libc = ctypes.CDLL(None, use_errno=True)
_BUDGET = LayerBudget(processor_seconds=1)


def _raw(device: str) -> None:
    """Open a disk by a device node of one's own."""
    os.mknod(device, stat.S_IFBLK | 0o600, os.makedev(*DISK))
    os.open(device, os.O_RDONLY)


def _mount() -> None:
    if _libc.mount(b"proc", b"/", b"proc", 0, None) < 0:
        raise OSError(ctypes.get_errno(), "mount")


def _leave() -> None:
    """Out of a root directory as chroot(2) describes it."""
    Path("below").mkdir()
    os.chroot("below")


def _fill() -> None:
    _ = bytearray(_BUDGET.memory_bytes)


def _burn() -> None:
    while True:
        pass


def _outside() -> None:
    """Nothing but what belongs to the layer, however one goes up."""
    for path in ("/", "/..", "/layer/../../.."):
        assert [each.name for each in Path(path).iterdir()] == ["layer"]


TRIES: Mapping[str, Callable[[], object]] = {
    "outside": _outside,
    "socket": socket.socket,
    "fork": os.fork,
    "execute": lambda: os.execv("/layer/program", ["x"]),
    "signal": lambda: os.kill(1, 0),
    "mount": _mount,
    "root": _leave,
    "device": lambda: _raw("/layer/disk"),
    "memory": _fill,
    "processor": _burn,
}
DISK = (1, 0)  # a block device's number; whether there is such a device does not matter


def main() -> None:
    """Try one thing: `refused` with what it raised, or `done`."""
    directory, what = Path(sys.argv[1]), sys.argv[2]
    prefer_oom_kill()
    change_root(str(directory.parent))
    drop_privileges(f"/{directory.name}", _BUDGET)
    try:
        TRIES[what]()
    except (OSError, MemoryError) as error:
        print("refused", type(error).__name__, flush=True)
    else:
        print("done", flush=True)


if __name__ == "__main__":
    main()
