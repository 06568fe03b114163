"""Disk space in the image store, reserved for all downloads together."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from shoal.errors import Exhausted

_REFUSED_SECONDS = 600.0
_RETRY_BYTES = 64 << 20


class DiskReservations:
    """Admits downloads that fit beside those in progress, and lets them continue while the reserve stays free.

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
        """Whether a download was refused recently and would be again: time to remove unused images."""
        if self._refused is None:
            return False
        at, size = self._refused
        return self._clock() < at + _REFUSED_SECONDS and self._available(self._free()) < size

    def require(self, size: int) -> None:
        """Raises:
        Exhausted: `size` more bytes are not free beside the reservations and the reserve.
        """
        free = self._free()
        if self._available(free) < size:
            self._refused = self._clock(), size
            raise Exhausted(
                f"not enough disk space in the image store: {_mb(size)} MB required, {_mb(free)} MB free, "
                f"{_mb(self._reserved + self._reserve_bytes)} MB of it reserved for other downloads and the host; "
                f"free disk space on the file system of {self._directory}"
            )

    def mark_full(self) -> None:
        """The disk was too full for a download in progress; until more is free, the next one would fail too."""
        self._refused = self._clock(), self._available(self._free()) + _RETRY_BYTES

    @contextmanager
    def reserve(self, size: int) -> Iterator["Reservation"]:
        """Reserve space for one download. Raises as `require` does."""
        self.require(size)
        reservation = Reservation(self, size)
        self._reserved += size
        try:
            yield reservation
        finally:
            self._reserved -= reservation.remaining

    def record_written(self, reservation: "Reservation", size: int) -> None:
        """Count bytes of a reservation that have been written.

        Raises:
            Exhausted: others have filled the disk up to the reserve.
        """
        written = min(size, reservation.remaining)
        reservation.remaining -= written
        self._reserved -= written
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
    """Disk space reserved for one download: `remaining` bytes are not written yet."""

    def __init__(self, reservations: DiskReservations, size: int) -> None:
        self.remaining = size
        self._reservations = reservations

    def record_written(self, size: int) -> None:
        """See `DiskReservations.record_written`."""
        self._reservations.record_written(self, size)


def _mb(size: int) -> str:
    return f"{size / 1e6:.1f}" if size < 1 << 60 else "more than 10^12"
