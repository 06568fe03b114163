"""The log of the etcd that a manager runs: a file beside its data, bounded, and the one before it."""

import asyncio
import logging
import os
import shutil
from pathlib import Path
from typing import IO

MAX_BYTES = 16 << 20
"""Of each of the two. On a slow disk etcd warns of every request, some megabytes an hour."""
CHECK_SECONDS = 60.0

_log = logging.getLogger(__name__)


class ServerLog:
    """`log` and `log.previous` in etcd's directory."""

    def __init__(self, directory: Path, *, max_bytes: int = MAX_BYTES) -> None:
        self._path = directory / "log"
        self._previous = directory / "log.previous"
        self._max_bytes = max_bytes

    def opened(self) -> IO[bytes]:
        """A new log; that of the previous run is kept. It is appended to, so it may be truncated at any time."""
        if self._path.exists():
            self._path.replace(self._previous)
        return self._path.open("ab")

    def has(self, text: bytes) -> bool:
        """Whether etcd has logged this in its present run."""
        return text in self._path.read_bytes()

    async def keep_bounded(self) -> None:
        """Until cancelled."""
        while True:
            await asyncio.sleep(CHECK_SECONDS)
            try:
                await asyncio.to_thread(self.bound)
            except OSError as error:
                _log.warning("cannot truncate %s: %s", self._path, error.strerror)

    def bound(self) -> None:
        """Keep the beginning elsewhere and continue with an empty log, if it is too large. A line that etcd writes in
        that moment may be lost.

        Raises:
            OSError: it cannot be copied or truncated.
        """
        if self._path.stat().st_size > self._max_bytes:
            shutil.copyfile(self._path, self._previous)
            os.truncate(self._path, 0)
