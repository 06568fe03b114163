"""Settings of the C library's allocator. See mallopt(3); a C library without it is left alone."""

import ctypes

_M_MMAP_THRESHOLD = -3
_M_ARENA_MAX = -8
_MMAP_BYTES = 128 << 10


def limit_malloc() -> None:
    """Set the allocator of this process for a daemon that is idle most of its life. Call it before threads are started.

    One arena: glibc gives each thread its own, and gRPC and the runtime start twenty that need little; they wait for
    Python's lock anyhow. A threshold that stays: buffers of a pull go back to the kernel at once; by itself glibc would
    raise it at the first one that is freed, and keep them in the heap. Together 7 MB.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_ARENA_MAX, 1)
        mallopt(_M_MMAP_THRESHOLD, _MMAP_BYTES)
