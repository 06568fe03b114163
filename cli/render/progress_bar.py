"""A bar of something whose end is known: a line on standard error that is drawn over, on a terminal only."""

import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from cli.render.output_terminal import draw, is_interactive

REDRAW_SECONDS = 0.1
WIDTH = 30


class ProgressBar:
    """A context manager; at its end the line is taken away.

    Args:
        header: "Backing up".
        unit: what is counted: "records".
        clock: seconds, from any start.
    """

    def __init__(self, header: str, unit: str, *, quiet: bool, clock: Callable[[], float] = time.monotonic) -> None:
        self._header = header
        self._unit = unit
        self._live = not quiet and is_interactive(sys.stderr)
        self._clock = clock
        self._next = 0.0

    def __enter__(self) -> Self:
        return self

    def update(self, done: int, total: int) -> None:
        """So many of so many are done."""
        if self._live and self._clock() >= self._next:
            self._next = self._clock() + REDRAW_SECONDS
            draw(f"\r\x1b[K{self._header} [{bar(done, total)}] {done:,} of {total:,} {self._unit}", err=True)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live:
            draw("\r\x1b[K", err=True)


def bar(done: int, total: int) -> str:
    """`=====>    `, as wide as `WIDTH`."""
    filled = WIDTH if done >= total else WIDTH * done // max(total, 1)
    return ("=" * filled + (">" if filled < WIDTH else ""))[:WIDTH].ljust(WIDTH)
