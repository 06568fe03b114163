"""Return freed memory to the host.

The C library keeps what is freed for later (mallopt(3), M_TRIM_THRESHOLD: only the top of the main heap returns by
itself), so a burst of connections or messages would stay in the size of a daemon for good.
"""

import asyncio
import ctypes
import os
from pathlib import Path

CHECK_SECONDS = 30.0
MIN_GROWTH_BYTES = 32 << 20
MAX_BACKOFF = 32
"""Between two tries, where one after the other gives little."""

_BLOCK_BYTES = 1 << 20
"""Half of what is then kept."""

_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


def resident_bytes() -> int:
    """What this process occupies of the host's memory (proc(5), statm, second field)."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE_BYTES


def keep_freed_memory() -> None:
    """Keep up to 2 MiB at the end of each heap, from where the pages of every large message would come and go.

    The C library itself does so from the first time on that such a block is freed (mallopt(3), M_MMAP_THRESHOLD,
    "dynamic"): a process through which messages of a quarter of a megabyte flow frees one at its start.
    """
    bytearray(_BLOCK_BYTES)


async def trim_heap_forever(*, check_seconds: float = CHECK_SECONDS) -> None:
    """Until cancelled, give back what is free while the process is larger than it once was by a quarter and 32 MiB.

    Where that gives little it is tried less and less often. With other C libraries than glibc, which lack the call,
    nothing is done.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is None:
        return
    least, pause = resident_bytes(), 1
    while True:
        await asyncio.sleep(check_seconds * pause)
        before = resident_bytes()
        least = min(least, before)
        if before <= least + max(MIN_GROWTH_BYTES, least // 4):
            pause = 1
            continue
        # In a thread: it takes some 0.1 s for each GB, and releases the interpreter's lock.
        await asyncio.to_thread(trim, 0)
        gave_little = before - resident_bytes() < before // 10
        pause = min(2 * pause, MAX_BACKOFF) if gave_little else 1
