"""Deleting what containers wrote, when there is time: a start or a removal does not wait for the disk."""

import asyncio
import logging
import os
import subprocess
from pathlib import Path

_log = logging.getLogger(__name__)
_AT_ONCE = 100


class Trash:
    """A directory; what is renamed into it is deleted soon.

    Args:
        directory: on the same file system as what is to be deleted.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._woken = asyncio.Event()

    def wake(self) -> None:
        """There is something new in it."""
        self._woken.set()

    async def keep_empty(self) -> None:
        """Delete whatever is in it, each time that it is woken, until cancelled."""
        while True:
            await self._woken.wait()
            self._woken.clear()
            await asyncio.to_thread(self._empty)

    def _empty(self) -> None:
        try:
            found = [Path(entry.path) for entry in os.scandir(self._directory)]
        except FileNotFoundError:
            return
        for begin in range(0, len(found), _AT_ONCE):
            delete_trees(*found[begin : begin + _AT_ONCE])


def delete_trees(*paths: Path) -> None:
    """Delete directories by a program of its own: containers can leave trees too deep for a recursive function."""
    command = ["rm", "-rf", "--one-file-system", "--", *map(str, paths)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        _log.warning("not deleted: %s", " ".join(done.stderr.split())[:400])
