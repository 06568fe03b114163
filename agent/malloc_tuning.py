"""Tunes the C library's allocator. See mallopt(3); C libraries without it are left unchanged."""

import ctypes
from collections.abc import Generator
from contextlib import contextmanager

_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3
_M_ARENA_MAX = -8
_MMAP_BYTES = _TRIM_BYTES = 128 << 10
_LARGE_MMAP_BYTES, _LARGE_TRIM_BYTES = 8 << 20, 32 << 20


def limit_malloc() -> None:
    """Tune this process's allocator for a daemon that is mostly idle. Call it before threads are started.

    One arena: glibc gives each thread its own, and gRPC and the runtime start twenty threads that need little memory
    and wait for Python's lock anyway. A fixed threshold: buffers of a pull are returned to the kernel at once; by
    default glibc would raise it when the first one is freed, and keep them in the heap. Together this saves 7 MB.
    """
    _set((_M_ARENA_MAX, 1), (_M_MMAP_THRESHOLD, _MMAP_BYTES))


class LargeBuffers:
    """Keeps freed buffers of a MiB for the next ones while streams of them pass: a new mapping for each costs as much
    processor time as all else that is done to it. For one thread."""

    def __init__(self) -> None:
        self._users = 0

    @contextmanager
    def kept(self) -> Generator[None]:
        """Until the last of those who asked for it is done. What is left goes back when the heap is trimmed."""
        self._users += 1
        if self._users == 1:
            _set((_M_MMAP_THRESHOLD, _LARGE_MMAP_BYTES), (_M_TRIM_THRESHOLD, _LARGE_TRIM_BYTES))
        try:
            yield
        finally:
            self._users -= 1
            if not self._users:
                _set((_M_MMAP_THRESHOLD, _MMAP_BYTES), (_M_TRIM_THRESHOLD, _TRIM_BYTES))


def _set(*settings: tuple[int, int]) -> None:
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        for parameter, value in settings:
            mallopt(parameter, value)
