"""Mounts a container's root file system: an overlay in a mount namespace that only the container and conmon have."""

import errno
import os
import shutil
from collections.abc import Generator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from agent.runtime.kernel.linux import (
    CLONE_NEWNS,
    MS_PRIVATE,
    MS_RDONLY,
    MS_REC,
    MS_SLAVE,
    mount,
    set_namespace,
    unmount,
    unshare,
)
from agent.safe_paths.regular_files import read_regular
from shoal.errors import InvalidInput

_MAX_ACCOUNT_FILE = 1 << 20
_UNFIT = (errno.EINVAL, errno.EFBIG, errno.ELOOP, errno.EXDEV, errno.EAGAIN)


@contextmanager
def private_mounts(host_namespace_fd: int, *, hide: Path | None, slave: bool = False) -> Generator[None]:
    """Give the calling thread a private mount namespace; processes spawned inside keep it alive.

    The thread must have called unshare(CLONE_FS) before.

    Args:
        host_namespace_fd: the namespace to which the thread returns.
        hide: a mount to remove from the new namespace.
        slave: later mounts and unmounts on the host propagate into it, but not vice versa.
    """
    unshare(CLONE_NEWNS)
    try:
        mount("none", "/", None, MS_REC | (MS_SLAVE if slave else MS_PRIVATE))
        if hide is not None:
            unmount(hide)
        yield
    finally:
        set_namespace(host_namespace_fd, CLONE_NEWNS)


def mount_overlay(layers: Sequence[Path], upper: Path, target: Path, *, volatile: bool = True) -> None:
    """Mount `layers`, the topmost first, under `upper`/u at `target`.

    The directories are passed by descriptor: mount options are limited to 4,096 bytes, too few for the paths of many
    layers, and have separators that a path may contain.

    `volatile` avoids all syncs, for containers that do not outlive a crash of the host. The kernel refuses to mount
    such an upper directory again, since it cannot know whether there was a crash; its mark is removed here. Without it,
    fsync(2) in the container reaches the disk, and the last unmount syncs the file system.

    The kernel rejects a directory that is given twice (ELOOP), but an image may contain a layer, such as the empty one,
    repeatedly: only the topmost is used. Everything in the layer, whiteouts included, takes effect there first, and its
    lower occurrences add nothing.
    """
    with ExitStack() as opened:

        def by_descriptor(path: Path) -> str:
            descriptor = os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
            opened.callback(os.close, descriptor)
            return f"/proc/self/fd/{descriptor}"

        lower = ":".join(by_descriptor(layer) for layer in dict.fromkeys(layers))
        options = f"lowerdir={lower},upperdir={by_descriptor(upper / 'u')},workdir={by_descriptor(upper / 'w')}"
        _remove_mark(upper / "w" / "work" / "incompat")
        mount("overlay", str(target), "overlay", 0, f"{options},volatile" if volatile else options)


def read_in_root(root: Path, path: str) -> str:
    """Text of a small regular file below `root`, with links resolved inside it; empty if there is none.

    Bytes that are not UTF-8 are replaced. Devices, FIFOs and kernel files are never opened.

    Raises:
        InvalidInput: it is not a regular file, or larger than 1 MiB.
        OSError: the kernel failed.
    """
    root_fd = os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        return read_regular(root_fd, path, max_bytes=_MAX_ACCOUNT_FILE).decode(errors="replace")
    except (FileNotFoundError, NotADirectoryError):
        return ""
    except OSError as error:
        if error.errno in _UNFIT:
            raise InvalidInput(f"cannot read {path} of the container: {error.strerror}") from None
        raise
    finally:
        os.close(root_fd)


def mount_layers(layers: Sequence[Path], target: Path) -> None:
    """Mount at least two `layers`, the topmost first, at `target`, read-only: nothing is written anywhere."""
    with ExitStack() as opened:
        descriptors = [os.open(each, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC) for each in dict.fromkeys(layers)]
        for descriptor in descriptors:
            opened.callback(os.close, descriptor)
        lower = ":".join(f"/proc/self/fd/{descriptor}" for descriptor in descriptors)
        mount("overlay", str(target), "overlay", MS_RDONLY, f"lowerdir={lower}")


def _remove_mark(mark: Path) -> None:
    """Of a `volatile` mount: `incompat/volatile`, directories that only the agent and the kernel use."""
    if mark.exists():
        shutil.rmtree(mark)
