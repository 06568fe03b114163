"""Progress of an image's layers: bars on a terminal, a line for each layer elsewhere."""

import sys
import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Self

import click

from cli.render.output_terminal import draw, is_interactive
from shoal.docker_units import docker_size
from shoal.images.progress import LayerProgress, LayerState

BAR = 50
"""Characters of a bar, as in Docker."""

REDRAW_SECONDS = 0.1

Verbs = Mapping[LayerState, str]
"""What a state is called; one that is missing is not shown elsewhere than on a terminal."""

PULLING: Verbs = {
    LayerState.WAITING: "Waiting",
    LayerState.TRANSFERRING: "Downloading",
    LayerState.DONE: "Pull complete",
    LayerState.EXISTS: "Already exists",
}
PUSHING: Verbs = {
    LayerState.WAITING: "Waiting",
    LayerState.COMPRESSING: "Compressing",
    LayerState.TRANSFERRING: "Pushing",
    LayerState.DONE: "Pushed",
    LayerState.EXISTS: "Layer already exists",
}
LOADING: Verbs = {
    LayerState.COMPRESSING: "Compressing",
    LayerState.TRANSFERRING: "Loading layer",
    LayerState.DONE: "Loaded",
    LayerState.EXISTS: "Already exists",
}
SAVING: Verbs = {LayerState.TRANSFERRING: "Saving", LayerState.DONE: "Saved"}

_ENDED = frozenset({LayerState.DONE, LayerState.EXISTS})


class LayerBars:
    """Draws on standard error; a context manager, which draws the last state at its end. Call it with each step.

    Args:
        quiet: draw nothing.
        clock: seconds, from any start.
    """

    def __init__(self, verbs: Verbs, *, quiet: bool = False, clock: Callable[[], float] = time.monotonic) -> None:
        self._verbs = verbs
        self._quiet = quiet
        self._clock = clock
        self._live = not quiet and is_interactive(sys.stderr)
        self._layers: dict[str, LayerProgress] = {}
        self._drawn = 0
        self._next = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live and self._layers:
            self._redraw()

    def __call__(self, step: LayerProgress) -> None:
        if self._quiet:
            return
        known = self._layers.get(step.digest)
        self._layers[step.digest] = step
        if not self._live:
            if step.state in _ENDED and step.state in self._verbs and (known is None or known.state != step.state):
                click.echo(layer_line(step, self._verbs), err=True)
        elif self._clock() >= self._next:
            self._next = self._clock() + REDRAW_SECONDS
            self._redraw()

    def _redraw(self) -> None:
        import shutil  # here, not above: programs that call us have no terminal, and need not wait for it

        width, height = shutil.get_terminal_size()
        lines = [layer_line(each, self._verbs)[: width - 1] for each in self._layers.values()]
        if len(lines) >= height:  # what has left the screen cannot be drawn over
            lines = self._unfinished(lines, height - 2)
        up = f"\x1b[{self._drawn}A" if self._drawn else ""
        draw(up + "".join(f"\x1b[2K{line}\n" for line in lines) + "\x1b[J", err=True)
        self._drawn = len(lines)

    def _unfinished(self, lines: list[str], room: int) -> list[str]:
        """Of many layers those that are not done, and how many there are."""
        pairs = zip(self._layers.values(), lines, strict=True)
        shown = [line for layer, line in pairs if layer.state not in _ENDED][: max(0, room - 1)]
        done = sum(each.state in _ENDED for each in self._layers.values())
        return [*shown, f"{done} of {len(lines)} layers done"]


def layer_line(step: LayerProgress, verbs: Verbs) -> str:
    """ "4abcf2066143: Downloading [=====>     ]  1.2MB/3.6MB"."""
    name = step.digest.partition(":")[2][:12]
    verb = verbs.get(step.state, step.state.value.capitalize())
    if step.state is not LayerState.TRANSFERRING or not step.total_bytes:
        return f"{name}: {verb}"
    filled = min(BAR, BAR * step.done_bytes // step.total_bytes)
    bar = "=" * filled + ">" if filled < BAR else "=" * (BAR + 1)
    return f"{name}: {verb} [{bar:<{BAR + 1}}]  {docker_size(step.done_bytes)}/{docker_size(step.total_bytes)}"
