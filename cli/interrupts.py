"""Ctrl-C while a gRPC call is pending.

Python raises KeyboardInterrupt between any two steps of the main thread. In the middle of gRPC's waiting
(`threading.Condition.wait`) that leaves locks taken, or given back twice: a hang, or an error of another kind. So an
interrupt that comes there ends the wait, and is raised after it.
"""

import os
import signal
import sys
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from typing import NoReturn

EXIT_INTERRUPTED = 130
"""Exit code after Ctrl-C."""


def end_process() -> NoReturn:
    """End as by an interrupt, at once: other threads are in gRPC calls, and to close the channel under them, or to let
    Python end its modules, may crash the process.
    """
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError, AttributeError):
            stream.flush()
    os._exit(EXIT_INTERRUPTED)


@contextmanager
def deferred_interrupt(cancel: Callable[[], object]) -> Generator[None]:
    """Raise an interrupt that comes inside this block at its end.

    Args:
        cancel: ends what the block waits for. Called in the signal's handler, and perhaps more than once.
    Raises:
        KeyboardInterrupt: whatever else the block would have raised or returned.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGINT)
    if before is not signal.default_int_handler:  # ignored, or set by a library
        yield
        return
    came = False

    def note(*_: object) -> None:
        nonlocal came
        came = True
        cancel()

    signal.signal(signal.SIGINT, note)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
        if came:
            raise KeyboardInterrupt
