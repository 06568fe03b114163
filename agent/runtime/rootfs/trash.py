"""Deletes removed containers' files in the background."""

import asyncio
import logging
import os
from pathlib import Path

from shoal.errors import Unavailable
from shoal.tree_removal import delete_trees

_log = logging.getLogger(__name__)


class Trash:
    """A directory; files that are moved into it are deleted soon.

    Args:
        directory: on the same file system as the files to delete.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._woken = asyncio.Event()

    def wake(self) -> None:
        """Delete new files in it soon."""
        self._woken.set()

    async def run(self) -> None:
        """Empty it at each `wake`, until cancelled."""
        while True:
            await self._woken.wait()
            self._woken.clear()
            await asyncio.to_thread(self._empty)

    def _empty(self) -> None:
        try:
            found = [Path(entry.path) for entry in os.scandir(self._directory)]
        except FileNotFoundError:
            return
        try:
            delete_trees(*found)
        except Unavailable as error:
            _log.warning("could not delete files of removed containers: %s", error)
