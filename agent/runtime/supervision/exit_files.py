"""Waits for conmon's exit files, by inotify(7).

conmon writes a container's exit file once it has written the whole log, and then exits. If it is the last process in a
mount namespace whose overlay is not `volatile`, its exit takes as long as syncing the disk: 30 milliseconds or more.
"""

import asyncio
import contextlib
from collections.abc import Callable
from pathlib import Path

from agent.runtime.kernel.rename_watch import NameWatch


class ExitFiles:
    """Files that appear in one directory, each expected by name. For one event loop.

    Args:
        directory: conmon writes a draft there and renames it.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._expected: dict[str, Callable[[], None]] = {}
        self._watch: NameWatch | None = None
        with contextlib.suppress(OSError):  # the host's limit of watches is reached: conmon's exit must suffice
            self._watch = NameWatch(directory)
            asyncio.get_running_loop().add_reader(self._watch, self._read, self._watch)

    def expect(self, name: str, found: Callable[[], None]) -> None:
        """Call `found` once the file is there, from the event loop; at once if it is there already."""
        self._expected[name] = found
        if self._directory.joinpath(name).exists():
            self._report(name)

    def forget(self, name: str) -> None:
        """Do not wait for it any more. No error if nobody does."""
        self._expected.pop(name, None)

    def close(self) -> None:
        """Wait for none any more."""
        self._expected.clear()
        if self._watch is not None:
            asyncio.get_running_loop().remove_reader(self._watch)
            self._watch.close()
            self._watch = None

    def _read(self, watch: NameWatch) -> None:
        names = watch.read()
        if names is None:
            names = [name for name in self._expected if self._directory.joinpath(name).exists()]
        for name in names:
            self._report(name)

    def _report(self, name: str) -> None:
        if (found := self._expected.pop(name, None)) is not None:
            found()
