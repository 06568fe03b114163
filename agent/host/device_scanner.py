"""Scans /dev for devices that containers can request, and detects changes."""

import asyncio
import logging
import os
import stat
from collections.abc import AsyncGenerator, Callable, Iterator
from pathlib import Path

from shoal.api.v1.node_pb2 import HostDevices
from shoal.device_names import MAX_DEVICES, report_order, reported_name
from shoal.notifier import Notifier

SCAN_SECONDS = 10.0
"""Between scans. A scan takes a millisecond or two, in a thread."""
MAX_ENTRIES = 20_000
"""Limit of entries of /dev. If there are more, no devices are reported."""

_log = logging.getLogger(__name__)

_Inodes = frozenset[tuple[int, int]]


def scan_devices(
    root: Path = Path("/dev"), *, max_names: int = MAX_DEVICES, max_entries: int = MAX_ENTRIES
) -> HostDevices | None:
    """The current devices; None if there are too many entries.

    A path is listed if a container that requests it gets a device: a device node, a link to one, a directory with
    nodes.

    Args:
        root: used as /dev.
    """
    budget = iter(range(max_entries))
    paths = sorted(set(_names_in(str(root), "/dev", _identity(root.stat()), budget)), key=report_order)
    if next(budget, None) is None:
        return None
    return HostDevices(paths=paths[:max_names], truncated=len(paths) > max_names)


def _names_in(directory: str, name: str, ancestors: _Inodes, budget: Iterator[int]) -> Iterator[str]:
    """Names below a directory called `name`, and its own name if it contains device nodes that are not links."""
    has_nodes = False
    for entry in _entries(directory, budget):
        path = f"{name}/{entry.name}"
        if not reported_name(path):
            continue
        try:
            found, is_link = entry.stat(), entry.is_symlink()
        except OSError:
            continue  # it is gone, or a dangling link
        if stat.S_ISDIR(found.st_mode) and not _identity(found) <= ancestors:
            below = list(_names_in(entry.path, path, ancestors | _identity(found), budget))
            has_nodes = has_nodes or (path in below and not is_link)
            yield from below
        elif stat.S_ISCHR(found.st_mode) or stat.S_ISBLK(found.st_mode):
            has_nodes = has_nodes or not is_link
            yield path
    if has_nodes and reported_name(name):
        yield name


def _entries(directory: str, budget: Iterator[int]) -> Iterator[os.DirEntry[str]]:
    try:
        with os.scandir(directory) as listing:
            for entry, _ in zip(listing, budget, strict=False):
                yield entry
    except OSError as error:
        _log.debug("cannot read %s: %s", directory, error)


def _identity(found: os.stat_result) -> _Inodes:
    return frozenset({(found.st_dev, found.st_ino)})


class DeviceScanner:
    """Scans periodically. `scan` once, then `run`."""

    def __init__(
        self, *, read: Callable[[], HostDevices | None] = scan_devices, scan_seconds: float = SCAN_SECONDS
    ) -> None:
        self._read = read
        self._scan_seconds = scan_seconds
        self._notifier = Notifier()
        self.current: HostDevices | None = None
        """Result of the last scan."""

    async def scan(self) -> None:
        """Scan now."""
        found = await asyncio.to_thread(self._read)
        if found != self.current:
            self.current = found
            self._notifier.notify()

    async def run(self) -> None:
        """Scan periodically until cancelled."""
        while True:
            await asyncio.sleep(self._scan_seconds)
            await self.scan()

    def changes(self) -> AsyncGenerator[None]:
        """Once immediately, and again whenever `current` changes."""
        return self._notifier.wakeups()
