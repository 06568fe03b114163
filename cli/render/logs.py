"""Log records as lines, each with the task that wrote it; pieces of one long line are put together."""

import sys
from datetime import UTC, datetime

import click

from shoal.api.v1.control_pb2 import LogSource
from shoal.api.v1.streams_pb2 import LogRecord

COLORS = ("cyan", "yellow", "green", "magenta", "blue", "bright_cyan", "bright_yellow", "bright_green")


class LogPrinter:
    """Prints records to standard output, those of standard error to standard error."""

    def __init__(self, *, timestamps: bool, raw: bool) -> None:
        self._timestamps = timestamps
        self._raw = raw
        self._names: dict[str, str] = {}
        self._partial: dict[tuple[str, int], bytes] = {}

    def source(self, source: LogSource) -> None:
        """Remember what to call the task."""
        short = source.task_name.removesuffix(f".{source.task_id}")
        color = COLORS[len(self._names) % len(COLORS)]
        self._names[source.task_id] = click.style(f"{short}@{source.node_hostname}", fg=color)

    def record(self, record: LogRecord) -> None:
        """Print it, or keep it until the rest of its line has come."""
        key = (record.task_id, record.stream)
        data = self._partial.pop(key, b"") + record.data
        if record.partial and len(data) < 1 << 20:
            self._partial[key] = data
            return
        to_stderr = record.stream == LogRecord.STDERR
        head = "" if self._raw else f"{self._names.get(record.task_id, record.task_id)}    | "
        if self._timestamps:
            head += f"{_time(record.at_ns)} "
        stream = sys.stderr if to_stderr else sys.stdout
        click.echo(head + data.decode(errors="replace"), file=stream)


def _time(nanoseconds: int) -> str:
    seconds, rest = divmod(nanoseconds, 1_000_000_000)
    return f"{datetime.fromtimestamp(seconds, UTC).strftime('%Y-%m-%dT%H:%M:%S')}.{rest:09d}Z"
