"""Progress of a volume move: a progress bar on a terminal, lines elsewhere."""

from collections.abc import Callable

from cli.render.output_terminal import OutputStream, draw, is_interactive, print_error_line
from cli.render.progress_display import BAR
from cli.render.task_rows import timestamp
from shoal.api.v1.control_pb2 import VolumeMoveView
from shoal.api.v1.volume_pb2 import VolumeMoveStatus
from shoal.unit_formats import size

LINE_SECONDS = 10.0
"""Between lines that differ in numbers alone."""

_STATES: dict[int, str] = {
    VolumeMoveStatus.WAITING: "waiting",
    VolumeMoveStatus.COPYING: "copying",
    VolumeMoveStatus.VERIFYING: "verifying",
}


class MoveDisplay:
    """Draws on standard error.

    Args:
        stream: it, to tell whether it is a terminal.
        now: seconds of a clock that only goes forward.
    """

    def __init__(self, stream: OutputStream, now: Callable[[], float], *, volume: str, node: str) -> None:
        self._live = is_interactive(stream)
        self._now = now
        self._title = f"{volume} to {node}"
        self._last = ""
        self._key: tuple[int, str] = (0, "")
        self._line_at = 0.0

    def update(self, status: VolumeMoveStatus) -> None:
        """Show it, unless too little has changed."""
        if status.state not in _STATES:
            return
        if self._live:
            text = f"{self._title}  {line(status, bar=True)}"
            if text != self._last:
                draw(f"\r\x1b[K{text}", err=True)
            self._last = text
            return
        key, now = (status.state, status.message), self._now()
        if key != self._key or now - self._line_at >= LINE_SECONDS:
            print_error_line(f"{self._title}: {line(status, bar=False)}")
            self._key, self._line_at = key, now

    def close(self) -> None:
        """Leave what is drawn."""
        if self._live and self._last:
            draw("\n", err=True)
            self._last = ""


def line(status: VolumeMoveStatus, *, bar: bool) -> str:
    """ "copying [####......] 40% of 1.2 GiB"."""
    word = _STATES[status.state]
    if status.state == VolumeMoveStatus.WAITING:
        if status.message.startswith(word):  # "waiting for node h2, which is down"
            return status.message
        return f"{word}: {status.message}" if status.message else word
    share = 1.0 if not status.total_bytes else min(1.0, status.bytes / status.total_bytes)
    filled = int(BAR * share)
    drawn = f"[{'#' * filled}{'.' * (BAR - filled)}]  " if bar else ""
    return f"{word}  {drawn}{int(100 * share)}% of {size(status.total_bytes)}"


def move_line(move: VolumeMoveView) -> str:
    """In a listing: "h1 to h2 (copying, 40%)", of a volume per slot "2: h1 to h2 (waiting)"."""
    word = _STATES.get(move.status.state, "finishing")
    share = f", {move.percent}%" if move.status.total_bytes else ""
    slot = f"{move.status.slot}: " if move.status.slot else ""
    return f"{slot}{move.from_hostname} to {move.to_hostname} ({word}{share})"


def move_fields(move: VolumeMoveView) -> dict[str, object]:
    """The move for programs."""
    status = move.status
    return {
        "slot": status.slot,
        "from": move.from_hostname,
        "to": move.to_hostname,
        "state": _STATES.get(status.state, "finishing"),
        "percent": move.percent,
        "bytes": status.bytes,
        "total_bytes": status.total_bytes,
        "message": status.message,
        "began": timestamp(status.started_at_ms),
    }
