"""The local terminal: its size and raw mode."""

import contextlib
import os
import termios
import tty
from collections.abc import Iterable
from typing import Any

from shoal.api.v1.streams_pb2 import TerminalSize

UNKNOWN_SIZE = (80, 24)


def size_of(descriptors: Iterable[int]) -> TerminalSize:
    """The size of the first that is a terminal and knows its size; 80x24 where none does."""
    columns, rows = next(filter(all, map(_size, descriptors)), UNKNOWN_SIZE)
    return TerminalSize(columns=columns, rows=rows)


def _size(descriptor: int) -> tuple[int, int]:
    try:
        found = os.get_terminal_size(descriptor)
    except OSError:
        return 0, 0
    return found.columns, found.lines


class Terminal:
    """Standard input, which is a terminal."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._before: list[Any] | None = None

    def make_raw(self) -> None:
        """Every key is a byte from now on; what was typed before stays to be read."""
        self._before = termios.tcgetattr(self._descriptor)
        tty.setraw(self._descriptor, termios.TCSANOW)

    def restore(self) -> None:
        """As it was before `make_raw`, if that was called. May be called at any moment, and again."""
        if self._before is not None:
            with contextlib.suppress(termios.error):  # it is gone
                termios.tcsetattr(self._descriptor, termios.TCSANOW, self._before)
