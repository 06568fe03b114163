"""What containers can be given of this host's /dev, by name: read as it is, and looked at again for changes."""

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
"""Between looks. A look takes a millisecond or two, in a thread."""
MAX_ENTRIES = 20_000
"""Of /dev that are looked at. Where there are more, nothing is told."""

_log = logging.getLogger(__name__)

_Inodes = frozenset[tuple[int, int]]


def scan_devices(
    root: Path = Path("/dev"), *, max_names: int = MAX_DEVICES, max_entries: int = MAX_ENTRIES
) -> HostDevices | None:
    """What there is now; None where there is too much to look at.

    A path counts when a container that asks for it gets a device: a device node, a link to one, a directory with some.

    Args:
        root: taken for /dev.
    """
    budget = iter(range(max_entries))
    paths = sorted(set(_names_in(str(root), "/dev", _identity(root.stat()), budget)), key=report_order)
    if next(budget, None) is None:
        return None
    return HostDevices(paths=paths[:max_names], truncated=len(paths) > max_names)


def _names_in(directory: str, name: str, ancestors: _Inodes, budget: Iterator[int]) -> Iterator[str]:
    """Names below a directory that is called `name`, and its own when it has device nodes that are no links."""
    has_nodes = False
    for entry in _entries(directory, budget):
        path = f"{name}/{entry.name}"
        if not reported_name(path):
            continue
        try:
            found, is_link = entry.stat(), entry.is_symlink()
        except OSError:
            continue  # it is gone, or leads nowhere
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
        _log.debug("%s cannot be read: %s", directory, error)


def _identity(found: os.stat_result) -> _Inodes:
    return frozenset({(found.st_dev, found.st_ino)})


class DeviceScanner:
    """Keeps in step with the host. `scan` once, then `run`."""

    def __init__(
        self, *, read: Callable[[], HostDevices | None] = scan_devices, scan_seconds: float = SCAN_SECONDS
    ) -> None:
        self._read = read
        self._scan_seconds = scan_seconds
        self._notifier = Notifier()
        self.current: HostDevices | None = None
        """As of the last look."""

    async def scan(self) -> None:
        """Read anew."""
        found = await asyncio.to_thread(self._read)
        if found != self.current:
            self.current = found
            self._notifier.notify()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await asyncio.sleep(self._scan_seconds)
            await self.scan()

    def changes(self) -> AsyncGenerator[None]:
        """Once now, and again whenever `current` is another."""
        return self._notifier.wakeups()
