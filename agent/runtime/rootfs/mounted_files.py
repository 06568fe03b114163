"""Secrets, configs and files of /etc for a container, each kind on a tmpfs in the container's mount namespace only.

Secrets and configs are read-only. The container may write to the files of /etc, as with Docker; what it writes is
charged to its own memory, and limited by its own tmpfs, not by that of all containers' bundles.
"""

import errno
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from agent.runtime.kernel.linux import MS_NODEV, MS_NOSUID, mount
from agent.worker.interfaces import MountedFile

MAX_WRITTEN_BYTES = 1 << 20
"""Bytes that a container can add to its files of /etc."""

ETC_SOURCE = "shoal-etc"
"""Source of the tmpfs of files of /etc, as the mount table has it."""

_PAGE = 4096


def mount_files(directory: Path, files: Sequence[MountedFile]) -> dict[Path, MountedFile]:
    """Put the files on a new tmpfs at `directory`, with numbers as names; returns their paths.

    Call it in the container's future mount namespace. The memory is never swapped out if the kernel supports that
    (Linux 6.4, tmpfs option noswap).

    Raises:
        OSError: out of memory, or the kernel failed.
    """
    if not files:
        return {}
    directory.mkdir(mode=0o700)
    options = f"mode=0700,size={_size(file.content for file in files)}"
    try:
        mount("shoal-files", str(directory), "tmpfs", MS_NOSUID | MS_NODEV, f"{options},noswap")
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        mount("shoal-files", str(directory), "tmpfs", MS_NOSUID | MS_NODEV, options)
    return {_write(directory / str(place), file): file for place, file in enumerate(files)}


def mount_etc_files(directory: Path, files: Mapping[str, bytes]) -> dict[str, Path]:
    """Put files of /etc, by path in the container, on a new tmpfs at `directory`; returns their paths.

    Call it in the container's future mount namespace.

    Raises:
        OSError: out of memory, or the kernel failed.
    """
    if not files:
        return {}
    options = f"mode=0700,size={_size(files.values()) + MAX_WRITTEN_BYTES}"
    mount(ETC_SOURCE, str(directory), "tmpfs", MS_NOSUID | MS_NODEV, options)
    made = {}
    for place, (path, content) in enumerate(files.items()):
        made[path] = directory / str(place)
        made[path].write_bytes(content)
        made[path].chmod(0o644)
    return made


def _size(contents: Iterable[bytes]) -> int:
    """Size in bytes of a tmpfs for these files."""
    return (4 + sum(2 + len(content) // _PAGE for content in contents)) * _PAGE


def _write(path: Path, file: MountedFile) -> Path:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as target:
        target.write(file.content)
        target.flush()
        os.fchown(descriptor, file.uid, file.gid)
        os.fchmod(descriptor, file.mode)
    return path
