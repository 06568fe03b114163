"""How the C library hands out memory."""

import ctypes

_M_ARENA_MAX = -8


def use_one_arena() -> None:
    """Have all threads share one arena of malloc(3), before they are started; a C library without arenas is left alone.

    glibc gives each thread an arena of its own, and gRPC and the runtime start twenty that need little: that is 4 MB.
    The threads wait for Python's lock anyhow. See mallopt(3).
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_ARENA_MAX, 1)
