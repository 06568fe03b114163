"""Populates an empty volume from the image.

Other containers may use the volume, so nothing is written into it by path. The image's files are copied into a
directory beside it that no container sees, and moved in from there, entry by entry and by descriptor:

    <volume>/_fill.new    while files are copied; deleted after a crash
    <volume>/_fill        the complete copy; after a crash, the next mount of the volume moves the rest
    <volume>/_data        what containers see
"""

import errno
import fcntl
import os
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

from agent.safe_paths.system_calls import open_beneath, open_in_root, rename_no_replace
from agent.safe_paths.tree_copy import copy_metadata, copy_tree
from shoal.errors import InvalidInput, Unavailable
from shoal.fault_points.injection import fault
from shoal.tree_removal import delete_beneath

_COPYING, _COPIED = "_fill.new", "_fill"
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY


def populate(data: Path, root: Path, target: str, *, durable: bool) -> None:
    """Copy the image's directory at the target, with its owner and mode, into an empty volume.

    Files that other containers write meanwhile are kept: nothing is replaced. Concurrent calls wait for each other.

    Args:
        data: the volume's directory; its parent is used by the agent only, and on the same file system.
        root: the container's root file system, which is not visible to others yet.
        durable: the volume must survive a crash of the host, so the copy is flushed to disk.
    Raises:
        OSError: the disk or the kernel failed. Unavailable: remains of a crash cannot be removed.
        InvalidInput: the image has too many directories in one directory.
    """
    with _locked(data) as (place, volume):
        _move_in(place, volume)
        if not _is_empty(volume):
            return
        with _directory_of_image(root, target) as image:
            if image is not None:
                _copy(place, image, durable=durable)
                _move_in(place, volume)


def finish_population(data: Path) -> None:
    """Complete an interrupted population, so that a part is not mistaken for the whole.

    Raises:
        As `populate`.
    """
    if data.parent.joinpath(_COPIED).exists():
        with _locked(data) as (place, volume):
            _move_in(place, volume)


@contextmanager
def _locked(data: Path) -> Generator[tuple[int, int]]:
    """Descriptors of the volume's parent directory, which is locked, and of the volume."""
    place = os.open(data.parent, _DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(place, fcntl.LOCK_EX)
        # A symbolic link in its place is the operator's, for data elsewhere: containers cannot create one there.
        volume = os.open(data.name, _DIRECTORY | os.O_CLOEXEC, dir_fd=place)
        try:
            yield place, volume
        finally:
            os.close(volume)
    finally:
        os.close(place)


@contextmanager
def _directory_of_image(root: Path, target: str) -> Generator[int | None]:
    root_fd = os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        image = open_in_root(root_fd, target, _DIRECTORY)
    except (FileNotFoundError, NotADirectoryError):
        yield None
        return
    finally:
        os.close(root_fd)
    try:
        yield image
    finally:
        os.close(image)


def _is_empty(volume: int) -> bool:
    with os.scandir(volume) as entries:
        return next(entries, None) is None


def _copy(place: int, image: int, *, durable: bool) -> None:
    """Copy the image's directory completely, flush it, then give it its final name."""
    _delete(place, _COPYING)
    os.mkdir(_COPYING, 0o700, dir_fd=place)
    copied = open_beneath(place, _COPYING, _DIRECTORY)
    try:
        # An empty directory is not flushed: it is copied again after a crash.
        copy_tree(image, copied, durable=durable and not _is_empty(image))
    except OSError:
        _delete(place, _COPYING)
        raise
    except InvalidInput as error:
        _delete(place, _COPYING)
        raise InvalidInput(f"cannot populate the volume from the image: {error}; use volume-nocopy") from error
    finally:
        os.close(copied)
    fault("agent.volume.copied")
    rename_no_replace(place, _COPYING, place, _COPIED)
    fault("agent.volume.copy-named")


def _move_in(place: int, volume: int) -> None:
    try:
        copied = open_beneath(place, _COPIED, _DIRECTORY)
    except FileNotFoundError:
        return
    try:
        _move_all(copied, volume)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        _delete(place, _COPIED)
        raise Unavailable(
            "cannot populate the volume from the image: its _data is on another file system; use volume-nocopy"
        ) from error
    finally:
        os.close(copied)
    _delete(place, _COPIED)


def _move_all(copied: int, volume: int) -> None:
    status = os.fstat(copied)  # before the moves, which change its times
    with os.scandir(copied) as entries:  # one by one: there may be millions
        for entry in entries:
            with suppress(FileExistsError):  # a container has written this name
                rename_no_replace(copied, entry.name, volume, entry.name)
    copy_metadata(copied, volume, status)


def _delete(place: int, name: str) -> None:
    """Usually it is an empty directory, or does not exist."""
    try:
        os.rmdir(name, dir_fd=place)
    except FileNotFoundError:
        return
    except OSError as error:
        if error.errno != errno.ENOTEMPTY:
            raise
        delete_beneath(place, name)
