"""A thread that does what a container can: swap a directory for a symbolic link and back, without a pause."""

import ctypes
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_RENAME_EXCHANGE = 2
_libc = ctypes.CDLL(None, use_errno=True)


def exchange(directory: int, one: str, other: str) -> bool:
    """renameat2(2): each gets the other's name at once; False when one of them is not there."""
    return bool(_libc.renameat2(directory, one.encode(), directory, other.encode(), _RENAME_EXCHANGE) == 0)


@contextmanager
def swapped(directory: Path, name: str, aim: Path) -> Iterator[list[int]]:
    """While the body runs, `name` in a directory is by turns what it was and a symbolic link to `aim`.

    Yields a list whose only entry is the number of exchanges so far.
    """
    link = f"{name}.link"
    (directory / link).symlink_to(aim)
    held, done, count = os.open(directory, os.O_RDONLY | os.O_DIRECTORY), threading.Event(), [0]

    def swap() -> None:
        while not done.is_set():
            count[0] += exchange(held, name, link)

    thread = threading.Thread(target=swap)
    thread.start()
    try:
        yield count
    finally:
        done.set()
        thread.join()
        os.close(held)
