"""Bringing new files to the disk, and no others: syncfs(2) waits for what all programs of the host have written."""

import os
from collections import deque
from pathlib import Path

from agent.safe_paths.system_calls import start_writeback, wait_for_writeback

_MAX_IN_FLIGHT = 64
"""Files that the disk is given at once, each of them open."""


def fsync_directory(directory: Path) -> None:
    """Wait until the names in a directory are on the disk: what was made or renamed there is found after a crash.

    Raises:
        OSError: EIO, ENOSPC: something was lost.
    """
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class FileFlusher:
    """The contents of files, written while further ones are made; they are found after a crash of the host once the
    directory that they lie in, or any other of its file system, is flushed too: with their names, owners and sizes.

    That is what the journals of ext4 and XFS promise: what was done before is on the disk before what was done later.
    """

    def __init__(self) -> None:
        self._files: deque[int] = deque()

    def add(self, descriptor: int) -> None:
        """Take over the descriptor of a file that is complete.

        Raises:
            OSError: EIO, ENOSPC: something was lost.
        """
        self._files.append(descriptor)
        start_writeback(descriptor)
        if len(self._files) > _MAX_IN_FLIGHT:
            self._wait_for_oldest()

    def finish(self, directory: int) -> None:
        """Wait until all is on the disk, the directory too.

        Raises:
            OSError: EIO, ENOSPC: something was lost.
        """
        while self._files:
            self._wait_for_oldest()
        os.fsync(directory)

    def close(self) -> None:
        """Let go of what is left."""
        while self._files:
            os.close(self._files.popleft())

    def _wait_for_oldest(self) -> None:
        descriptor = self._files.popleft()
        try:
            wait_for_writeback(descriptor)
        finally:
            os.close(descriptor)
