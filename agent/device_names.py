"""What containers can be given of this host's /dev, by name: read as it is, and looked at again for changes."""

import asyncio
import logging
import os
import stat
from collections.abc import AsyncGenerator, Callable, Iterator
from pathlib import Path

from agent.news import News
from shoal.api.v1.node_pb2 import HostDevices
from shoal.device_names import MOST, in_order, told_name

LOOK_SECONDS = 10.0
"""Between looks. A look takes a millisecond or two, in a thread."""
ENTRIES = 20_000
"""Of /dev that are looked at. Where there are more, nothing is told."""

_log = logging.getLogger(__name__)

_Seen = frozenset[tuple[int, int]]


def read(root: Path = Path("/dev"), *, most: int = MOST, entries: int = ENTRIES) -> HostDevices | None:
    """What there is now; None where there is too much to look at.

    A path counts when a container that asks for it gets a device: a device node, a link to one, a directory with some.

    Args:
        root: taken for /dev.
    """
    budget = iter(range(entries))
    paths = sorted(set(_names_in(str(root), "/dev", _identity(root.stat()), budget)), key=in_order)
    if next(budget, None) is None:
        return None
    return HostDevices(paths=paths[:most], partial=len(paths) > most)


def _names_in(directory: str, name: str, above: _Seen, budget: Iterator[int]) -> Iterator[str]:
    """Names below a directory that is called `name`, and its own when it has device nodes that are no links."""
    has_nodes = False
    for entry in _entries(directory, budget):
        path = f"{name}/{entry.name}"
        if not told_name(path):
            continue
        try:
            found, is_link = entry.stat(), entry.is_symlink()
        except OSError:
            continue  # it is gone, or leads nowhere
        if stat.S_ISDIR(found.st_mode) and not _identity(found) <= above:
            below = list(_names_in(entry.path, path, above | _identity(found), budget))
            has_nodes = has_nodes or (path in below and not is_link)
            yield from below
        elif stat.S_ISCHR(found.st_mode) or stat.S_ISBLK(found.st_mode):
            has_nodes = has_nodes or not is_link
            yield path
    if has_nodes and told_name(name):
        yield name


def _entries(directory: str, budget: Iterator[int]) -> Iterator[os.DirEntry[str]]:
    try:
        with os.scandir(directory) as listing:
            for entry, _ in zip(listing, budget, strict=False):
                yield entry
    except OSError as error:
        _log.debug("%s cannot be read: %s", directory, error)


def _identity(found: os.stat_result) -> _Seen:
    return frozenset({(found.st_dev, found.st_ino)})


class DeviceNames:
    """Keeps in step with the host. `look` once, then `run`."""

    def __init__(self, *, read: Callable[[], HostDevices | None] = read, look_seconds: float = LOOK_SECONDS) -> None:
        self._read = read
        self._look_seconds = look_seconds
        self._news = News()
        self.current: HostDevices | None = None
        """As of the last look."""

    async def look(self) -> None:
        """Read anew."""
        found = await asyncio.to_thread(self._read)
        if found != self.current:
            self.current = found
            self._news.ring()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await asyncio.sleep(self._look_seconds)
            await self.look()

    def changes(self) -> AsyncGenerator[None]:
        """Once now, and again whenever `current` is another."""
        return self._news.rounds()
