"""Texts of vertices and of parts of their work, as BuildKit has them. Pure."""

from cli.render.build_progress.vertices import Status, Vertex

_UNITS = ("B", "kB", "MB", "GB", "TB", "PB")
SHOWN_SECONDS = 0.01
"""Shorter times of a part are not worth their place."""


def size(amount: int) -> str:
    """ "523B", "1.05MB": powers of 1,000."""
    value, unit = float(amount), 0
    while value >= 1000 and unit + 1 < len(_UNITS):
        value, unit = value / 1000, unit + 1
    return f"{value:.2f}{_UNITS[unit]}" if unit else f"{amount}B"


def amounts(status: Status) -> str:
    """ " 1.05MB / 3.40MB", " 120B", or nothing."""
    if status.total:
        return f" {size(status.current)} / {size(status.total)}"
    return f" {size(status.current)}" if status.current else ""


def status_line(status: Status, now: float) -> str:
    """ "transferring context: 1.05MB 0.1s done"."""
    seconds = now - status.started if status.seconds is None else status.seconds
    time = f" {seconds:.1f}s" if seconds > SHOWN_SECONDS else ""
    return f"{status.name}{amounts(status)}{time}{' done' if status.seconds is not None else ''}"


def end_line(vertex: Vertex) -> str:
    """ "DONE 0.3s", "CACHED", "CANCELED", "ERROR: …"."""
    if vertex.error:
        return "CANCELED" if is_cancellation(vertex.error) else f"ERROR: {vertex.error}"
    return "CACHED" if vertex.cached else f"DONE {vertex.seconds or 0.0:.1f}s"


def is_cancellation(error: str) -> bool:
    """Whether it ended because another one has failed."""
    return error.lower().endswith(("canceled", "cancelled"))


def failure_report(vertex: Vertex) -> list[str]:
    """The last output of a vertex that has failed, as it stands after all progress."""
    output = [f"{at:.3f} {line}" for at, line in list(vertex.output)[-REPORTED_LINES:]]
    return ["------", f" > {vertex.name}:", *output, "------"]


REPORTED_LINES = 20
