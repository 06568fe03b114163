"""Progress of a copy, as `docker cp` has it: a line on standard error that is drawn over."""

import sys
import time
from collections.abc import Callable, Iterable, Iterator

from cli.render.output_terminal import draw, is_interactive
from shoal.docker_units import docker_size

REDRAW_SECONDS = 0.1


class CopyProgress:
    """Of one copy.

    Args:
        header: "Copying to container".
        quiet: draw nothing.
        clock: seconds, from any start.
    """

    def __init__(self, header: str, *, quiet: bool, clock: Callable[[], float] = time.monotonic) -> None:
        self.copied_bytes = 0
        self._header = header
        self._quiet = quiet
        self._live = not quiet and is_interactive(sys.stderr)
        self._clock = clock
        self._next = 0.0

    def counted(self, pieces: Iterable[bytes]) -> Iterator[bytes]:
        """The pieces, drawn as they pass."""
        for piece in pieces:
            yield piece
            self.copied_bytes += len(piece)
            if self._live and self._clock() >= self._next:
                self._next = self._clock() + REDRAW_SECONDS
                draw(f"\r\x1b[K{self._header} - {docker_size(self.copied_bytes)}", err=True)

    def finished(self, target: str) -> None:
        """Say what was copied, and where to."""
        if not self._quiet:
            erased = "\r\x1b[K" if self._live else ""
            draw(f"{erased}Successfully copied {docker_size(self.copied_bytes)} to {target}\n", err=True)

    def failed(self) -> None:
        """Take the line away; the error is printed by others."""
        if self._live:
            draw("\r\x1b[K", err=True)
