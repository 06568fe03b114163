"""Room on the disk of the images, for all downloads together."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from shoal.errors import Exhausted

_REFUSED_SECONDS = 600.0
_MORE_BYTES = 64 << 20


class DiskRoom:
    """Lets downloads begin for which there is room beside those under way, and go on while the reserve is free.

    Args:
        directory: on the file system that they fill.
        reserve_bytes: what must stay free on it.
    """

    def __init__(self, directory: Path, reserve_bytes: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._directory = directory
        self._reserve_bytes = reserve_bytes
        self._clock = clock
        self._promised = 0
        self._refused: tuple[float, int] | None = None

    @property
    def lacking(self) -> bool:
        """Whether something was refused of late and would be again: time to remove what nobody uses."""
        if self._refused is None:
            return False
        at, size = self._refused
        return self._clock() < at + _REFUSED_SECONDS and self._left(self._free()) < size

    def need(self, size: int) -> None:
        """Raises:
        Exhausted: so many bytes more are not free beside what is promised and the reserve.
        """
        free = self._free()
        if self._left(free) < size:
            self._refused = self._clock(), size
            raise Exhausted(
                f"the disk of the images is too full: {_mb(size)} MB are needed, {_mb(free)} MB are free, and "
                f"{_mb(self._promised + self._reserve_bytes)} MB of those are for other downloads and the host; "
                f"free some space on the file system of {self._directory}"
            )

    def note_full(self) -> None:
        """The disk has turned out too full for what was begun: until some more is free, the next would be as well."""
        self._refused = self._clock(), self._left(self._free()) + _MORE_BYTES

    @contextmanager
    def claim(self, size: int) -> Iterator["Claim"]:
        """Promise room to one download. Raises as `need` does."""
        self.need(size)
        claim = Claim(self, size)
        self._promised += size
        try:
            yield claim
        finally:
            self._promised -= claim.left

    def used(self, claim: "Claim", size: int) -> None:
        """Of a claim, so many bytes are on the disk.

        Raises:
            Exhausted: others have filled it up to the reserve.
        """
        taken = min(size, claim.left)
        claim.left -= taken
        self._promised -= taken
        if self._free() < self._reserve_bytes:
            raise Exhausted(
                f"less than {self._reserve_bytes >> 20} MiB are free on the disk of the images; "
                f"free some space on the file system of {self._directory}"
            )

    def _left(self, free: int) -> int:
        return free - self._promised - self._reserve_bytes

    def _free(self) -> int:
        disk = os.statvfs(self._directory)
        return disk.f_bavail * disk.f_frsize


class Claim:
    """What one download may still bring: `left` bytes."""

    def __init__(self, room: DiskRoom, size: int) -> None:
        self.left = size
        self._room = room

    def used(self, size: int) -> None:
        """See `DiskRoom.used`."""
        self._room.used(self, size)


def _mb(size: int) -> str:
    return f"{size / 1e6:.1f}" if size < 1 << 60 else "more than a million million"
