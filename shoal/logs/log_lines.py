"""The format of container log lines, on nodes and on the wire. Pure.

    2026-11-23T23:18:27.123456789+00:00 stdout F text

The time in RFC 3339 with nanoseconds, the stream, F for a line's last piece or P for one that goes on (pieces of 8,192
bytes), as conmon writes them (`k8s-file`) and Kubernetes reads them (CRI). In UTC the header has 45 bytes and times
compare as bytes do, so that megabytes are cut, merged and shown without looking into each line twice.
"""

import re
from datetime import UTC, datetime
from functools import lru_cache
from typing import NamedTuple

STAMP_BYTES = 35
HEADER_BYTES = STAMP_BYTES + len(" stdout F ")
MAX_LINE_BYTES = 16 << 10
"""Bytes: a piece of 8,192 with its header is far below; a longer line is none of conmon's."""

_UTC = b"+00:00 "
_HEADER = re.compile(rb"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)\.(\d{1,9})(Z|[+-]\d\d:\d\d) (stdout|stderr) ([FP]) ")


class LogLine(NamedTuple):
    """One line, or a piece of one.

    Attributes:
        time_ns: nanoseconds since the Unix epoch.
        data: what the program wrote, without the newline.
        partial: the line goes on in this stream's next one.
    """

    time_ns: int
    is_stderr: bool
    data: bytes
    partial: bool


def parse_line(line: bytes) -> LogLine | None:
    """What a line without its newline says; None when it is none (a torn write before a crash of the host)."""
    header = _HEADER.match(line)
    if header is None:
        return None
    try:
        time_ns = _seconds(header[1], header[3]) * 10**9 + int(header[2].ljust(9, b"0"))
    except ValueError:
        return None
    return LogLine(time_ns, header[4] == b"stderr", line[header.end() :], header[5] == b"P")


def timestamp_bytes(time_ns: int) -> bytes:
    """A time as lines in UTC begin with it; those before the year 1 or after 9999 become the nearest."""
    seconds, rest = divmod(time_ns, 10**9)
    try:
        whole = datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):
        return (b"0" if time_ns < 0 else b":") * STAMP_BYTES
    return b"%04d-%s.%09d+00:00" % (whole.year, whole.strftime("%m-%dT%H:%M:%S").encode(), rest)


def to_utc(lines: bytes) -> bytes:
    """Whole lines with their times in UTC, where the node's clock shows another zone."""
    if _is_utc(lines, 0) and _is_utc(lines, lines.rfind(b"\n", 0, -1) + 1):
        return lines
    return b"".join(_line_in_utc(line) for line in lines.splitlines(keepends=True))


def last_timestamp(lines: bytes) -> bytes:
    """When the last of whole lines was written."""
    begin = lines.rfind(b"\n", 0, -1) + 1
    return lines[begin : begin + STAMP_BYTES]


def end_of_line(lines: bytes, begin: int) -> int:
    """Where the line after the one at `begin` is."""
    return lines.find(b"\n", begin) + 1 or len(lines)


def _is_utc(lines: bytes, begin: int) -> bool:
    return lines.startswith(_UTC, begin + STAMP_BYTES + 1 - len(_UTC))


def _line_in_utc(line: bytes) -> bytes:
    header = _HEADER.match(line)
    if header is None:
        return line
    try:
        time_ns = _seconds(header[1], header[3]) * 10**9 + int(header[2].ljust(9, b"0"))
    except ValueError:
        return line
    return timestamp_bytes(time_ns) + line[header.start(4) - 1 :]


@lru_cache(maxsize=64)
def _seconds(text: bytes, offset: bytes) -> int:
    """Many lines share a second. Raises ValueError."""
    return int(datetime.fromisoformat((text + offset.replace(b"Z", b"+00:00")).decode()).timestamp())
