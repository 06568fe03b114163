"""How services converge, as bars that are redrawn on a terminal and as lines elsewhere."""

import sys
import time
from collections.abc import Callable, Sequence

import click

from cli.render.terminal import draw, is_live
from shoal.api.v1.control_pb2 import ServiceProgress
from shoal.api.v1.service_pb2 import UpdateStatus
from shoal.api.v1.task_pb2 import TaskState

_TOLD = frozenset({UpdateStatus.PAUSED, UpdateStatus.CANARY, UpdateStatus.ROLLING_BACK, UpdateStatus.ROLLED_BACK})

BAR = 30
"""Characters of a bar."""
LINE_SECONDS = 1.0
"""Between two lines on the same service, where there is no terminal."""


def bar(progress: ServiceProgress, width: int = BAR) -> str:
    """One line: name, bar, counts, and what the tasks that do not run yet are doing."""
    done = reached(progress) if progress.desired else 0
    filled = width if not progress.desired else min(width, width * done // progress.desired)
    text = f"{progress.name}  [{'#' * filled}{'.' * (width - filled)}]  {counts(progress)}"
    waiting = ", ".join(
        f"{number} {TaskState.Name(TaskState.ValueType(state)).lower()}"
        for state, number in sorted(progress.by_state.items())
        if state != TaskState.RUNNING and number
    )
    stopping = f"{progress.stopping} stopping" if progress.stopping else ""
    rest = ", ".join(filter(None, (waiting, stopping)))
    return f"{text}  ({rest})" if rest else text


def reached(progress: ServiceProgress) -> int:
    """Of `desired`: tasks that run, or that a job has completed."""
    return progress.completed if progress.is_job else progress.running


def counts(progress: ServiceProgress) -> str:
    """ "3/5 running", "3/5 completed"."""
    return f"{reached(progress)}/{progress.desired} {'completed' if progress.is_job else 'running'}"


def leaving(progress: ServiceProgress) -> str:
    """ "web: 3 stopping", "web: removed"."""
    return f"{progress.name}: {'removed' if progress.converged else f'{progress.stopping} stopping'}"


def _line(progress: ServiceProgress) -> str:
    line = f"{progress.name}: {counts(progress)}"
    if progress.update.state in _TOLD:
        line += f", {UpdateStatus.State.Name(progress.update.state).lower().replace('_', ' ')}"
    if progress.converged:
        return f"{line}, converged"
    waits = progress.problems and progress.problems[0].startswith("waits for ")
    return f"{line}, {progress.problems[0]}" if waits else line


class Display:
    """Draws the progress of services; on a terminal over the lines that it drew before.

    Not a terminal: a line a service when its number of running tasks has changed, at most one a second until it has
    converged, so that a log stays short.

    Args:
        clock: seconds, from any start.
        removing: they are to go, so that it is told how many tasks still stop.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic, *, removing: bool = False) -> None:
        self._clock = clock
        self._removing = removing
        self._said_at: dict[str, float] = {}
        self._live = is_live(sys.stderr)
        self._drawn = 0
        self._said: dict[str, str] = {}

    def update(self, services: Sequence[ServiceProgress]) -> None:
        """Show the newest progress."""
        if self._live:
            self._redraw(services)
            return
        for service in services:
            self._say(service, leaving(service) if self._removing else _line(service))

    def _say(self, service: ServiceProgress, line: str) -> None:
        key, now = service.service_id, self._clock()
        soon = now - self._said_at.get(key, now - LINE_SECONDS) < LINE_SECONDS
        if self._said.get(key) != line and (service.converged or not soon):
            self._said[key], self._said_at[key] = line, now
            click.echo(line, err=True)

    def _redraw(self, services: Sequence[ServiceProgress]) -> None:
        import shutil  # here, not above: programs that call us have no terminal, and need not wait for it

        width, height = shutil.get_terminal_size()
        lines = []
        for service in services:
            lines.append((leaving(service) if self._removing else bar(service))[: width - 1])
            lines += [click.style(f"    {problem}"[: width - 1], fg="yellow") for problem in service.problems[:3]]
        if len(lines) >= height:  # what has left the screen cannot be drawn over
            lines[height - 2 :] = [f"… and {len(lines) - height + 2} lines more"]
        up = f"\x1b[{self._drawn}A" if self._drawn else ""
        draw(up + "".join(f"\x1b[2K{line}\n" for line in lines) + "\x1b[J", err=True)
        self._drawn = len(lines)
