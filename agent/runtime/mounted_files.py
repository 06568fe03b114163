"""Secrets and configs in a container: files on a tmpfs that exists in the container's mount namespace alone."""

import errno
import os
from collections.abc import Sequence
from pathlib import Path

from agent.runtime.linux import MS_NODEV, MS_NOSUID, mount
from agent.worker.seams import MountedFile

_PAGE = 4096


def mount_files(directory: Path, files: Sequence[MountedFile]) -> dict[Path, MountedFile]:
    """Put the files on a new tmpfs at `directory`, under numbers for names; where each lies.

    The caller is in the mount namespace that is to become the container's. The memory is never swapped out
    where the kernel can promise it (Linux 6.4, tmpfs option noswap).

    Raises:
        OSError: no memory, or the kernel refused.
    """
    if not files:
        return {}
    directory.mkdir(mode=0o700)
    pages = sum(2 + len(file.content) // _PAGE for file in files)
    options = f"mode=0700,size={(pages + 4) * _PAGE}"
    try:
        mount("shoal-files", str(directory), "tmpfs", MS_NOSUID | MS_NODEV, f"{options},noswap")
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        mount("shoal-files", str(directory), "tmpfs", MS_NOSUID | MS_NODEV, options)
    return {_write(directory / str(place), file): file for place, file in enumerate(files)}


def _write(path: Path, file: MountedFile) -> Path:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as target:
        target.write(file.content)
        target.flush()
        os.fchown(descriptor, file.uid, file.gid)
        os.fchmod(descriptor, file.mode)
    return path
