"""Print log lines prefixed with their task; partial lines are joined.

Bytes go through as the program wrote them. Most megabytes consist of whole lines of one stream, which one regular
expression cuts at once, with few pieces of lines between them; the others go the longer way, line by line.
"""

import re
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
_PIECE_OF_LINE = {False: b" stdout P ", True: b" stderr P "}
_TEXTS = {
    is_stderr: re.compile(rb".{%d}%s(.*\n)|.*\n" % (STAMP_BYTES, head)) for is_stderr, head in _COMPLETE_LINE.items()
}
"""The texts of all lines with their newlines. It stands for each other line too, with nothing: a search for the next
one would try each byte."""
_LINES_TO_A_PIECE = 16
"""If there are fewer, going line by line is as fast."""


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
            if lines := run.lines:  # a copy each time
                self._print(run.task_id, lines)
        self._flush()

    def end(self) -> None:
        """Print lines that have no end."""
        for (task_id, is_stderr), data in self._partial.items():
            self._write(self._prefix(task_id, is_stderr) + data + (b"" if self._raw else b"\n"), is_stderr)
        self._partial.clear()
        self._flush()

    def _print(self, task_id: str, lines: bytes) -> None:
        is_stderr = lines.startswith(b" stderr", STAMP_BYTES)
        made = _pieces(lines, is_stderr) if self._as_it_is else self._put_together(task_id, lines, is_stderr)
        if made is not None:
            self._write(made, is_stderr)
            return
        for is_stderr, made in self._one_by_one(task_id, _rows(lines)):
            self._write(made, is_stderr)

    @property
    def _as_it_is(self) -> bool:
        """Of one task, pieces need not be put together for the same bytes to come out."""
        return self._raw and not self._timestamps and not self._prefix_format.details and len(self._names) <= 1

    def _put_together(self, task_id: str, lines: bytes, is_stderr: bool) -> bytes | None:
        """Lines of one stream, put together from their pieces; None: they are not of this stream alone."""
        key = (task_id, is_stderr)
        before, prefix = self._partial.get(key, b""), self._prefix(task_id, is_stderr)
        if len(before) + len(lines) >= _MAX_JOINED_LINE:
            return None
        found = (_with_times if self._timestamps else _with_prefixes)(lines, before, prefix, is_stderr)
        if found is None:
            return None
        made, rest = found
        self._partial.pop(key, None)
        if rest:
            self._partial[key] = rest
        return made

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


def _rows(lines: bytes) -> list[bytes]:
    rows = lines.split(b"\n")
    del rows[-1]
    return rows


def _pieces(lines: bytes, is_stderr: bool) -> bytes | None:
    """Lines of one stream and pieces of some, as the program wrote them; None: they are not of this stream alone.

    A program that writes much fills its pipe, and each piece of that ends in the middle of a line.
    """
    texts: list[bytes] = _TEXTS[is_stderr].findall(lines)
    found: list[bytes] = []
    done, at = 0, 0
    for _ in range(len(texts) // _LINES_TO_A_PIECE + 2):
        try:
            place = texts.index(b"", done)
        except ValueError:
            return b"".join(found + texts[done:])
        whole = b"".join(texts[done:place])
        at += len(whole) + HEADER_BYTES * (place - done)
        end = lines.find(b"\n", at)
        if end == at + HEADER_BYTES or not lines.startswith(_PIECE_OF_LINE[is_stderr], at + STAMP_BYTES):
            return None
        found += (whole, lines[at + HEADER_BYTES : end])
        done, at = place + 1, end + 1
    return None


def _with_prefixes(lines: bytes, before: bytes, prefix: bytes, is_stderr: bool) -> tuple[bytes, bytes] | None:
    """Lines of one stream after a piece, and the piece that is left; None: they are not of this stream alone."""
    text = _pieces(lines, is_stderr)
    if text is None:
        return None
    whole, end, rest = (before + text).rpartition(b"\n")
    return prefix + whole.replace(b"\n", b"\n" + prefix) + end if end else b"", rest


def _with_times(lines: bytes, before: bytes, prefix: bytes, is_stderr: bool) -> tuple[bytes, bytes] | None:
    """The same, each line with the time of its last piece."""
    complete, piece = _COMPLETE_LINE[is_stderr], _PIECE_OF_LINE[is_stderr]
    at, end, zone = STAMP_BYTES, HEADER_BYTES, _WITHOUT_ZONE
    made: list[bytes] = []
    for row in _rows(lines):
        head = row[at:end]
        if head == complete:
            made.append(prefix + row[:zone] + b"Z " + before + row[end:] + b"\n")
            before = b""
        elif head == piece and len(row) > end:
            before += row[end:]
        else:
            return None
    return b"".join(made), before


def _time(line: LogLine) -> bytes:
    seconds, rest = divmod(line.time_ns, 1_000_000_000)
    return f"{datetime.fromtimestamp(seconds, UTC).strftime('%Y-%m-%dT%H:%M:%S')}.{rest:09d}Z ".encode()
