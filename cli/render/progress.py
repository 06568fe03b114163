"""How services converge, as bars that are redrawn on a terminal and as lines elsewhere."""

import shutil
import sys
from collections.abc import Sequence

import click

from shoal.api.v1.control_pb2 import ServiceProgress
from shoal.api.v1.task_pb2 import TaskState

BAR = 30
"""Characters of a bar."""


def bar(progress: ServiceProgress, width: int = BAR) -> str:
    """One line: name, bar, counts, and what the tasks that do not run yet are doing."""
    done = progress.running if progress.desired else 0
    filled = width if not progress.desired else min(width, width * done // progress.desired)
    text = f"{progress.name}  [{'#' * filled}{'.' * (width - filled)}]  {progress.running}/{progress.desired} running"
    waiting = ", ".join(
        f"{number} {TaskState.Name(TaskState.ValueType(state)).lower()}"
        for state, number in sorted(progress.by_state.items())
        if state != TaskState.RUNNING and number
    )
    stopping = f"{progress.stopping} stopping" if progress.stopping else ""
    rest = ", ".join(filter(None, (waiting, stopping)))
    return f"{text}  ({rest})" if rest else text


class Display:
    """Draws the progress of services; on a terminal over the lines that it drew before.

    Not a terminal: a line a service each time that its number of running tasks changes, so that a log stays short.
    """

    def __init__(self) -> None:
        self._live = sys.stderr.isatty()
        self._drawn = 0
        self._said: dict[str, str] = {}

    def update(self, services: Sequence[ServiceProgress]) -> None:
        """Show the newest progress."""
        if self._live:
            self._redraw(services)
            return
        for service in services:
            line = f"{service.name}: {service.running}/{service.desired} running"
            if service.converged:
                line += ", converged"
            if self._said.get(service.service_id) != line:
                self._said[service.service_id] = line
                click.echo(line, err=True)

    def _redraw(self, services: Sequence[ServiceProgress]) -> None:
        width = shutil.get_terminal_size().columns
        lines = []
        for service in services:
            lines.append(bar(service)[: width - 1])
            lines += [click.style(f"    {problem}"[: width - 1], fg="yellow") for problem in service.problems[:3]]
        up = f"\x1b[{self._drawn}A" if self._drawn else ""
        click.echo(up + "".join(f"\x1b[2K{line}\n" for line in lines) + "\x1b[J", err=True, nl=False)
        self._drawn = len(lines)
