"""Mounts what a container that does not run has in its root file system: volumes, files and directories of the host."""

import os
import stat
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from agent.runtime.kernel.linux import MS_BIND, MS_RDONLY, MS_REC, MS_REMOUNT, mount
from agent.runtime.rootfs.volume_population import populate
from agent.runtime.rootfs.volume_record import RecordedVolume
from agent.safe_paths.system_calls import open_in_root


def mount_volumes_of_stopped(root: int, point: Path, volumes: Iterable[RecordedVolume]) -> tuple[str, ...]:
    """Mount each where the container has it; targets of those that are not here.

    One that is not here any more, or a file system of a server, leaves a directory that cannot be written to: what is
    put there would be hidden at the next start.

    Args:
        root, point: the root file system, in the mount namespace of this thread.
    Raises:
        OSError: a mount failed.
    """
    absent = []
    for volume in sorted(volumes, key=lambda each: each.target.count("/")):
        if volume.populate and Path(volume.data).is_dir():
            populate(Path(volume.data), point, volume.target, durable=True)
        source = _open_source(volume)
        try:
            if source is None:
                absent.append(volume.target)
            _bind(root, volume, source)
        finally:
            if source is not None:
                os.close(source)
    return tuple(absent)


def _bind(root: int, volume: RecordedVolume, source: int | None) -> None:
    is_directory = source is None or stat.S_ISDIR(os.fstat(source).st_mode)
    point = _open_or_make(root, volume.target, is_directory=is_directory)
    try:
        place = f"/proc/self/fd/{point}"
        # Mounts below a read-only one would be writable.
        flags = MS_BIND if volume.read_only or source is None else MS_BIND | MS_REC
        mount(place if source is None else f"/proc/self/fd/{source}", place, None, flags)
    finally:
        os.close(point)
    if volume.read_only or source is None:
        point = open_in_root(root, volume.target, os.O_PATH)
        try:
            mount("none", f"/proc/self/fd/{point}", None, MS_BIND | MS_REMOUNT | MS_RDONLY)
        finally:
            os.close(point)


def _open_or_make(root: int, target: str, *, is_directory: bool) -> int:
    """What is at a target; made, as the OCI runtime would make it at the start, if it is missing."""
    parts = [part for part in target.split("/") if part]
    for length in range(len(parts)):
        above = open_in_root(root, "/".join(parts[:length]) or "/", os.O_PATH | os.O_DIRECTORY)
        try:
            with suppress(FileExistsError):
                if is_directory or length + 1 < len(parts):
                    os.mkdir(parts[length], 0o755, dir_fd=above)
                else:
                    os.mknod(parts[length], stat.S_IFREG | 0o644, dir_fd=above)
        finally:
            os.close(above)
    return open_in_root(root, target, os.O_PATH | (os.O_DIRECTORY if is_directory else 0))


def _open_source(volume: RecordedVolume) -> int | None:
    if not volume.data:
        return None
    try:
        top = os.open(volume.data, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return None
    if not volume.subpath:
        return top
    try:
        return open_in_root(top, volume.subpath, os.O_PATH | os.O_DIRECTORY)
    except OSError:
        return None
    finally:
        os.close(top)
