"""Signals end what the main thread waits for, whichever thread the kernel has them handled in.

A signal to a process is handled in the first of its threads that comes to it (signal(7)), and gRPC has several. Python
only notes it there: the handler runs in the main thread, once that runs Python again. A main thread that waits for
somebody to read its output does not, unless a signal comes to it alone.
"""

import os
import signal
import threading
from collections.abc import Collection, Generator
from contextlib import contextmanager

WAKING = signal.SIGURG
"""Comes to the main thread after each of the others. By default it is ignored."""


@contextmanager
def waking_main_thread(numbers: Collection[int]) -> Generator[None]:
    """Inside this block, for the main thread: handlers of these signals run although it waits in a system call."""
    noted, notes = os.pipe()
    os.set_blocking(notes, False)
    handler = signal.signal(WAKING, lambda _, __: None)
    former = signal.set_wakeup_fd(notes, warn_on_full_buffer=False)
    threading.Thread(target=_wake, args=(noted, frozenset(numbers)), name="waking signals", daemon=True).start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(former)
        signal.signal(WAKING, handler)
        os.close(notes)  # which ends the thread


def _wake(noted: int, numbers: frozenset[int]) -> None:
    main = threading.main_thread().ident
    assert main is not None
    while came := os.read(noted, 64):
        if not numbers.isdisjoint(came):
            signal.pthread_kill(main, WAKING)
    os.close(noted)
