"""Progress of services that converge: progress bars on a terminal, lines elsewhere."""

import sys
import threading
import time
from collections.abc import Callable, Sequence

import click

from cli.render.output_terminal import draw, is_interactive
from cli.render.progress_lines import ProgressLines
from shoal.api.v1.control_pb2 import ServiceProgress
from shoal.api.v1.service_pb2 import UpdateStatus
from shoal.api.v1.task_pb2 import TaskState

_SHOWN_STATES = frozenset(
    {UpdateStatus.PAUSED, UpdateStatus.CANARY, UpdateStatus.ROLLING_BACK, UpdateStatus.ROLLED_BACK}
)

_UPDATE_VERBS = {
    UpdateStatus.UPDATING: "updated",
    UpdateStatus.CANARY: "updated",
    UpdateStatus.PAUSED: "updated",
    UpdateStatus.ROLLING_BACK: "rolled back",
}

BAR = 30
"""Characters of a bar."""


def bar(progress: ServiceProgress, width: int = BAR) -> str:
    """One line: name, bar, counts, and what the tasks that do not run yet are doing."""
    done = done_count(progress) if progress.desired else 0
    filled = width if not progress.desired else min(width, width * done // progress.desired)
    text = f"{progress.name}  [{'#' * filled}{'.' * (width - filled)}]  {counts(progress)}"
    waiting = ", ".join(
        f"{number} {TaskState.Name(TaskState.ValueType(state)).lower()}"
        for state, number in sorted(progress.by_state.items())
        if state != TaskState.RUNNING and number
    )
    stopping = f"{progress.stopping} stopping" if progress.stopping else ""
    verifying = f"verifying for {progress.verify_remaining_ms // 1000} s" if progress.verify_remaining_ms else ""
    rest = ", ".join(filter(None, (waiting, stopping, verifying)))
    return f"{text}  ({rest})" if rest else text


def done_count(progress: ServiceProgress) -> int:
    """Of `desired`: tasks that run, or that a job has completed."""
    return progress.completed if progress.is_job else progress.running


def counts(progress: ServiceProgress) -> str:
    """ "3/5 running", "3/5 completed"; of an update, while others than the new tasks run too, "3/5 updated"."""
    what = "completed" if progress.is_job else _UPDATE_VERBS.get(progress.update.state, "running")
    return f"{done_count(progress)}/{progress.desired} {what}"


def removal_line(progress: ServiceProgress) -> str:
    """ "web: 3 stopping", "web: removed"."""
    return f"{progress.name}: {'removed' if progress.converged else f'{progress.stopping} stopping'}"


def distinct_problems(problems: Sequence[str]) -> Sequence[str]:
    """The first three, without those that another one says too."""
    return [each for each in problems if not any(each in other and each != other for other in problems)][:3]


def _line(progress: ServiceProgress) -> str:
    line = f"{progress.name}: {counts(progress)}"
    if progress.update.state in _SHOWN_STATES:
        line += f", {UpdateStatus.State.Name(progress.update.state).lower().replace('_', ' ')}"
    if progress.converged:
        return f"{line}, converged"
    if progress.verify_remaining_ms:
        return f"{line}, verifying"
    waits = progress.problems and progress.problems[0].startswith("waiting for ")
    return f"{line}, {progress.problems[0]}" if waits else line


class ProgressDisplay:
    """Draws the progress of services; on a terminal over the lines that it drew before.

    Not a terminal: a line of a service when its number of running tasks has changed, as `ProgressLines` decides. Close
    it.

    Args:
        clock: seconds, from any start.
        removing: the services are being removed, so that the number of tasks that still stop is shown.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic, *, removing: bool = False) -> None:
        self._clock = clock
        self._removing = removing
        self._live = is_interactive(sys.stderr)
        self._drawn = 0
        self._lines = ProgressLines()
        self._mutex = threading.Lock()
        self._timer: threading.Timer | None = None

    def update(self, services: Sequence[ServiceProgress]) -> None:
        """Show the newest progress."""
        if self._live:
            self._redraw(services)
            return
        with self._mutex:
            for service in services:
                self._lines.update(service, removal_line(service) if self._removing else _line(service))
        self._print_due()

    def _print_due(self) -> None:
        """What is due, and again when more will be: the next progress may be long in coming."""
        with self._mutex:
            for line in self._lines.due(self._clock()):
                click.echo(line, err=True)
            if self._timer is not None:
                self._timer.cancel()
            if (at := self._lines.next_at()) is not None:
                self._timer = threading.Timer(max(0.0, at - self._clock()), self._print_due)
                self._timer.daemon = True
                self._timer.start()

    def close(self) -> None:
        """Print nothing more."""
        with self._mutex:
            if self._timer is not None:
                self._timer.cancel()
            self._lines = ProgressLines()

    def _redraw(self, services: Sequence[ServiceProgress]) -> None:
        import shutil  # here, not above: programs that call us have no terminal, and need not wait for it

        width, height = shutil.get_terminal_size()
        lines = []
        for service in services:
            lines.append((removal_line(service) if self._removing else bar(service))[: width - 1])
            lines += [
                click.style(f"    {problem}"[: width - 1], fg="yellow")
                for problem in distinct_problems(service.problems)
            ]
        if len(lines) >= height:  # what has left the screen cannot be drawn over
            lines[height - 2 :] = [f"… and {len(lines) - height + 2} more lines"]
        up = f"\x1b[{self._drawn}A" if self._drawn else ""
        draw(up + "".join(f"\x1b[2K{line}\n" for line in lines) + "\x1b[J", err=True)
        self._drawn = len(lines)
