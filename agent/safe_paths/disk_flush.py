"""Flushes new files to disk without syncing the whole host: syncfs(2) waits for the writes of all programs."""

import os
from collections import deque
from pathlib import Path

from agent.safe_paths.system_calls import start_writeback, wait_for_writeback

_MAX_IN_FLIGHT = 64
"""Open files whose writeback is in progress."""


def fsync_directory(directory: Path) -> None:
    """Wait until the names in a directory are on disk: files created or renamed there survive a crash of the host.

    Raises:
        OSError: EIO, ENOSPC: something was lost.
    """
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class FileFlusher:
    """Writes back files while further ones are created. They survive a crash of the host, with their names, owners and
    sizes, once any directory of their file system is flushed too.

    That is what the journals of ext4 and XFS guarantee: earlier operations are on disk before later ones.
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
        """Wait until all files and the directory are on disk.

        Raises:
            OSError: EIO, ENOSPC: something was lost.
        """
        while self._files:
            self._wait_for_oldest()
        os.fsync(directory)

    def close(self) -> None:
        """Close the remaining files."""
        while self._files:
            os.close(self._files.popleft())

    def _wait_for_oldest(self) -> None:
        descriptor = self._files.popleft()
        try:
            wait_for_writeback(descriptor)
        finally:
            os.close(descriptor)
