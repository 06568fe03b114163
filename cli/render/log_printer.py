"""Print log lines prefixed with their task; partial lines are joined.

Bytes go through as the program wrote them. Most megabytes consist of whole lines of one stream: each of those takes one
step of a list comprehension; the others go the longer way, line by line.
"""

import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

import click

from cli.render.error_lines import warn
from cli.render.output_terminal import colored
from shoal.api.v1.control_pb2 import LogSource
from shoal.api.v1.streams_pb2 import LogChunk
from shoal.logs.log_lines import HEADER_BYTES, STAMP_BYTES, LogLine, parse_line

COLORS = ("cyan", "yellow", "green", "magenta", "blue", "bright_cyan", "bright_yellow", "bright_green")

_MAX_JOINED_LINE = 1 << 20
_WITHOUT_ZONE = STAMP_BYTES - len("+00:00")
_COMPLETE_LINE = {False: b" stdout F ", True: b" stderr F "}
_ENDS = {False: {b" stdout F ": b"\n", b" stdout P ": b""}, True: {b" stderr F ": b"\n", b" stderr P ": b""}}
"""What follows a line, and a piece of one."""


@dataclass(frozen=True)
class LogPrefixes:
    """What stands before each line.

    Attributes:
        full: the task's id too ("web.1.0y7m…@h1"); ids: only its id and its node's name; details: what else is known.
    """

    full: bool = False
    ids: bool = False
    details: bool = False

    def name(self, source: LogSource) -> str:
        """ "web.1@h1"."""
        if self.ids:
            return f"{source.task_id}@{source.node_hostname}"
        name = source.task_name if self.full else source.task_name.removesuffix(f".{source.task_id}")
        return f"{name}@{source.node_hostname}"

    def details_of(self, source: LogSource) -> str:
        """ "task.id=…,task.name=…,node.hostname=… ", or nothing."""
        if not self.details:
            return ""
        return f"node.hostname={source.node_hostname},task.id={source.task_id},task.name={source.task_name} "


class LogPrinter:
    """Prints to standard output what programs wrote there, and to standard error what they wrote to theirs."""

    def __init__(self, *, timestamps: bool, raw: bool, prefixes: LogPrefixes = LogPrefixes()) -> None:
        self._prefix_format = prefixes
        self._timestamps = timestamps
        self._raw = raw
        self._names: dict[str, str] = {}
        self._details: dict[str, str] = {}
        self._prefixes: dict[tuple[str, bool], bytes] = {}
        self._partial: dict[tuple[str, bool], bytes] = {}
        self._outputs = {False: sys.stdout, True: sys.stderr}
        self._wrote_to_stderr = False

    def source(self, source: LogSource) -> None:
        """Remember what to call the task."""
        color = COLORS[len(self._names) % len(COLORS)]
        self._names[source.task_id] = click.style(self._prefix_format.name(source), fg=color)
        self._details[source.task_id] = self._prefix_format.details_of(source)
        self._prefixes.clear()

    def runs(self, runs: Iterable[LogChunk]) -> None:
        """Print them, but for lines of which the rest has not come yet."""
        for run in runs:
            if run.lines_lost:
                self._flush()
                name = click.unstyle(self._names.get(run.task_id, run.task_id))
                warn(f"{name}: lines are missing here; the log was rotated before they could be read")
            if run.lines:
                self._print(run.task_id, run.lines)
        self._flush()

    def end(self) -> None:
        """Print lines that have no end."""
        for (task_id, is_stderr), data in self._partial.items():
            self._write(self._prefix(task_id, is_stderr) + data + (b"" if self._raw else b"\n"), is_stderr)
        self._partial.clear()
        self._flush()

    def _print(self, task_id: str, lines: bytes) -> None:
        rows = lines.split(b"\n")
        del rows[-1]
        for is_stderr in (False, True):
            made = self._pieces(rows, is_stderr) if self._as_it_is else None
            if made is None and (task_id, is_stderr) not in self._partial:
                made = self._whole_lines(task_id, rows, is_stderr)
            if made:
                self._write(made, is_stderr)
                return
        for is_stderr, made in self._one_by_one(task_id, rows):
            self._write(made, is_stderr)

    @property
    def _as_it_is(self) -> bool:
        """Of one task, pieces need not be put together for the same bytes to come out."""
        return self._raw and not self._timestamps and not self._prefix_format.details and len(self._names) <= 1

    def _pieces(self, rows: list[bytes], is_stderr: bool) -> bytes | None:
        """Lines of one stream and pieces of some, as the program wrote them; None: they are not of this stream alone.

        A program that writes much fills its pipe, and each piece of that ends in the middle of a line.
        """
        ends = _ENDS[is_stderr]
        try:
            return b"".join([row[HEADER_BYTES:] + ends[row[STAMP_BYTES:HEADER_BYTES]] for row in rows])
        except KeyError:
            return None

    def _whole_lines(self, task_id: str, rows: list[bytes], is_stderr: bool) -> bytes | None:
        """Lines that are all whole and of one stream; None: they are not."""
        heads = {_COMPLETE_LINE[is_stderr]: self._prefix(task_id, is_stderr)}
        at, end, zone = STAMP_BYTES, HEADER_BYTES, _WITHOUT_ZONE
        try:
            if self._timestamps:
                made = [heads[row[at:end]] + row[:zone] + b"Z " + row[end:] for row in rows]
            else:
                made = [heads[row[at:end]] + row[end:] for row in rows]
        except KeyError:
            return None
        made.append(b"")
        return b"\n".join(made)

    def _one_by_one(self, task_id: str, rows: Iterable[bytes]) -> Iterator[tuple[bool, bytes]]:
        as_it_is = self._as_it_is
        for row in rows:
            line = parse_line(row)
            if line is None:
                continue
            if as_it_is:
                yield line.is_stderr, line.data + (b"" if line.partial else b"\n")
                continue
            data = self._partial.pop((task_id, line.is_stderr), b"") + line.data
            if line.partial and len(data) < _MAX_JOINED_LINE:
                self._partial[task_id, line.is_stderr] = data
                continue
            time = _time(line) if self._timestamps else b""
            yield line.is_stderr, self._prefix(task_id, line.is_stderr) + time + data + b"\n"

    def _prefix(self, task_id: str, is_stderr: bool) -> bytes:
        """What stands before each line; in colour where the stream shows it."""
        key = (task_id, is_stderr)
        if key not in self._prefixes:
            name = self._names.get(task_id, task_id)
            if colored() is False or not self._outputs[is_stderr].isatty():
                name = click.unstyle(name)
            details = self._details.get(task_id, "")
            self._prefixes[key] = details.encode() if self._raw else f"{name}    | {details}".encode()
        return self._prefixes[key]

    def _write(self, data: bytes, is_stderr: bool) -> None:
        """As bytes: what a program writes need not be text. In order also where both streams are one terminal."""
        if is_stderr is not self._wrote_to_stderr:
            self._flush()
            self._wrote_to_stderr = is_stderr
        self._outputs[is_stderr].buffer.write(data)

    def _flush(self) -> None:
        for output in self._outputs.values():
            output.flush()


def _time(line: LogLine) -> bytes:
    seconds, rest = divmod(line.time_ns, 1_000_000_000)
    return f"{datetime.fromtimestamp(seconds, UTC).strftime('%Y-%m-%dT%H:%M:%S')}.{rest:09d}Z ".encode()
