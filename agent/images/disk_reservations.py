"""Room on the disk of the images, for all downloads together."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from shoal.errors import Exhausted

_REFUSED_SECONDS = 600.0
_RETRY_BYTES = 64 << 20


class DiskReservations:
    """Lets downloads begin for which there is room beside those under way, and go on while the reserve is free.

    Args:
        directory: on the file system that they fill.
        reserve_bytes: what must stay free on it.
    """

    def __init__(self, directory: Path, reserve_bytes: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._directory = directory
        self._reserve_bytes = reserve_bytes
        self._clock = clock
        self._reserved = 0
        self._refused: tuple[float, int] | None = None

    @property
    def lacks_space(self) -> bool:
        """Whether something was refused of late and would be again: time to remove what nobody uses."""
        if self._refused is None:
            return False
        at, size = self._refused
        return self._clock() < at + _REFUSED_SECONDS and self._available(self._free()) < size

    def require(self, size: int) -> None:
        """Raises:
        Exhausted: so many bytes more are not free beside what is promised and the reserve.
        """
        free = self._free()
        if self._available(free) < size:
            self._refused = self._clock(), size
            raise Exhausted(
                f"the disk of the images is too full: {_mb(size)} MB are needed, {_mb(free)} MB are free, and "
                f"{_mb(self._reserved + self._reserve_bytes)} MB of those are for other downloads and the host; "
                f"free some space on the file system of {self._directory}"
            )

    def mark_full(self) -> None:
        """The disk has turned out too full for what was begun: until some more is free, the next would be as well."""
        self._refused = self._clock(), self._available(self._free()) + _RETRY_BYTES

    @contextmanager
    def reserve(self, size: int) -> Iterator["Reservation"]:
        """Promise room to one download. Raises as `require` does."""
        self.require(size)
        claim = Reservation(self, size)
        self._reserved += size
        try:
            yield claim
        finally:
            self._reserved -= claim.remaining

    def record_written(self, reservation: "Reservation", size: int) -> None:
        """Of a claim, so many bytes are on the disk.

        Raises:
            Exhausted: others have filled it up to the reserve.
        """
        taken = min(size, reservation.remaining)
        reservation.remaining -= taken
        self._reserved -= taken
        if self._free() < self._reserve_bytes:
            raise Exhausted(
                f"free space in the image store is below {self._reserve_bytes >> 20} "
                f"MiB; free disk space on the file system of {self._directory}"
            )

    def _available(self, free: int) -> int:
        return free - self._reserved - self._reserve_bytes

    def _free(self) -> int:
        disk = os.statvfs(self._directory)
        return disk.f_bavail * disk.f_frsize


class Reservation:
    """What one download may still bring: `remaining` bytes."""

    def __init__(self, reservations: DiskReservations, size: int) -> None:
        self.remaining = size
        self._reservations = reservations

    def record_written(self, size: int) -> None:
        """See `DiskReservations.record_written`."""
        self._reservations.record_written(self, size)


def _mb(size: int) -> str:
    return f"{size / 1e6:.1f}" if size < 1 << 60 else "more than a million million"
