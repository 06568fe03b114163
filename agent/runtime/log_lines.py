"""Lines of conmon's `k8s-file` log format: pure.

    2026-11-23T23:18:27.123456789+00:00 stdout F text

RFC 3339 with nanoseconds, the stream, F for a line's last piece or P for one that goes on (pieces of 8,192 bytes).
"""

from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Literal

LONGEST_LINE = 16 << 10
"""Bytes: a piece of 8,192 with its header is far below; a longer line is not conmon's."""


@dataclass(frozen=True)
class LogRecord:
    """One piece of output.

    Attributes:
        time_ns: nanoseconds since the Unix epoch.
        data: without the newline; not longer than 8,192 bytes.
        partial: the line goes on in this stream's next record.
    """

    time_ns: int
    stream: Literal["stdout", "stderr"]
    data: bytes
    partial: bool


def parse_line(line: bytes) -> LogRecord | None:
    """The record of a line without its newline; None when it is none (a torn write before a crash of the host)."""
    fields = line.split(b" ", 3)
    if len(fields) != 4 or fields[1] not in (b"stdout", b"stderr") or fields[2] not in (b"F", b"P"):
        return None
    try:
        time_ns = parse_time(fields[0].decode("ascii"))
    except ValueError:
        return None
    return LogRecord(time_ns, "stdout" if fields[1] == b"stdout" else "stderr", fields[3], fields[2] == b"P")


def parse_time(text: str) -> int:
    """Nanoseconds since the epoch of an RFC 3339 time. Raises ValueError."""
    fraction = text[20:].partition("+")[0].partition("-")[0].partition("Z")[0]
    if text[19:20] != "." or not fraction.isdigit():
        raise ValueError(f"{text!r} is no time of a log line")
    return _seconds(text[:19], text[20 + len(fraction) :]) * 10**9 + int(f"{fraction:0<9}"[:9])


@lru_cache(maxsize=64)
def _seconds(text: str, offset: str) -> int:
    """Many lines share a second."""
    return int(datetime.fromisoformat(text + offset.replace("Z", "+00:00")).timestamp())


def ends_record(line: bytes) -> bool:
    """Whether this line is a whole line's last piece, what `tail` counts."""
    return line.split(b" ", 3)[2:3] == [b"F"]
