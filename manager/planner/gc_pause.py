"""Pauses Python's cyclic garbage collector while a plan is made."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def gc_paused() -> Iterator[None]:
    """Collect no cyclic garbage within the block, which must not await.

    A plan creates no cycles, but as many objects as tasks, each of which the collector would visit several times.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
