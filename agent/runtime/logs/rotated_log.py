"""Rotation of one log: hard-links the current file under a number, and removes the oldest."""

import os
from contextlib import suppress
from pathlib import Path

from agent.runtime.logs.log_files import CURRENT, LogFileLimits, log_file_path, numbered_log_files
from shoal.logs.log_lines import parse_line

_TRIES = 3
_TICK_NS = 10_000_000
"""The kernel's clock for files may be late by this much (coarse_ktime, one tick at 100 Hz)."""

_HEAD_BYTES = 64


def link_first_file(directory: Path) -> None:
    """Give the first file its number, before the container's program starts and conmon could replace it.

    The name may exist if an agent exited just after this; the task is then started again, in the same directory. The
    log of a container that has run before has numbers already, and is followed from where it is.
    """
    if numbered_log_files(directory):
        return
    with suppress(FileExistsError):
        log_file_path(directory, 1).hardlink_to(directory / CURRENT)


class RotatedLog:
    """Follows conmon from file to file.

    Never more than `sizes.count` files are on disk: `count - 1` have numbers, and conmon may have created one without a
    number.
    """

    def __init__(self, directory: Path, sizes: LogFileLimits) -> None:
        self.directory = directory
        self.sizes = sizes
        named = numbered_log_files(directory)
        self._number = max(named[-1].number, 0) if named else 0
        self._inode = named[-1].path.stat().st_ino if named else 0
        self._rotations = self._number

    def link_current(self, rotations: int | None) -> None:
        """Give the current file its number. Files that conmon created in between are counted.

        Args:
            rotations: how many files conmon has created since the last call, as reported by the kernel; None: unknown.
        Raises:
            OSError: the disk is full.
        """
        self._rotations += rotations or 0
        for _ in range(_TRIES):
            try:
                descriptor = os.open(self.directory / CURRENT, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
            except FileNotFoundError:
                return
            try:
                self._link(descriptor, is_reported=bool(rotations))
                return
            except FileNotFoundError:
                continue  # conmon has replaced it meanwhile
            finally:
                os.close(descriptor)

    def is_linked(self) -> bool:
        """Whether the current file has its number."""
        try:
            return (self.directory / CURRENT).stat().st_ino == self._inode
        except FileNotFoundError:
            return True

    def size(self) -> int | None:
        """Bytes of the current file; None if there is none."""
        try:
            return (self.directory / CURRENT).stat().st_size
        except FileNotFoundError:
            return None

    def _link(self, descriptor: int, *, is_reported: bool) -> None:
        found = os.fstat(descriptor).st_ino
        if found == self._inode:
            # If it got its number before earlier files were reported, the gap appears after it.
            return
        if not is_reported or self._rotations <= self._number:
            self._rotations = self._number + (1 if self._follows(descriptor) else 2)
        self._prune()
        # By descriptor: exactly the file that was checked (linkat(2), AT_SYMLINK_FOLLOW).
        target = log_file_path(self.directory, self._rotations)
        os.link(f"/proc/self/fd/{descriptor}", target, src_dir_fd=descriptor, follow_symlinks=True)
        self._number, self._inode = self._rotations, found

    def _prune(self) -> None:
        """Remove the oldest files, to make room for one more."""
        named = numbered_log_files(self.directory)
        for piece in named[: max(0, len(named) - self.sizes.count + 2)]:
            piece.path.unlink(missing_ok=True)

    def _follows(self, descriptor: int) -> bool:
        """Whether the file directly follows the last numbered one, by the times of files and lines.

        The moment in which a file is replaced is its last change (rename(2) removes a name). The next file begins with
        lines that conmon had read before that moment, or it is empty and was renamed then.
        """
        if not self._number:
            return True
        try:
            replaced_ns = log_file_path(self.directory, self._number).stat().st_ctime_ns
        except FileNotFoundError:
            return False
        first = parse_line(os.pread(descriptor, _HEAD_BYTES, 0))
        begun_ns = os.fstat(descriptor).st_ctime_ns if first is None else first.time_ns
        return begun_ns <= replaced_ns + _TICK_NS
