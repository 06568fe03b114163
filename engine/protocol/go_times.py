"""Points in time as Go's clients write and read them. Pure."""

import re
from datetime import UTC, datetime

NEVER = "0001-01-01T00:00:00Z"
"""Go's zero time: it has not happened."""

_RFC3339 = re.compile(
    r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d)",
)


def time_text(at_ms: int) -> str:
    """RFC 3339 in UTC with as many digits of the second as Go prints; `NEVER` of 0.

    Args:
        at_ms: milliseconds since the Unix epoch.
    """
    return time_text_ns(at_ms * 1_000_000)


def time_text_ns(at_ns: int) -> str:
    """The same of nanoseconds since the Unix epoch."""
    if at_ns == 0:
        return NEVER
    seconds, fraction = divmod(at_ns, 10**9)
    text = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    digits = f"{fraction:09d}".rstrip("0")
    return f"{text}.{digits}Z" if digits else f"{text}Z"


def log_time_text(at_ns: int) -> str:
    """As log lines have it: nine digits of the second, always."""
    seconds, fraction = divmod(at_ns, 10**9)
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S") + f".{fraction:09d}Z"


def parse_time(text: str) -> int:
    """Nanoseconds since the Unix epoch of an RFC 3339 time; 0 of `NEVER`.

    Raises:
        ValueError: it is none.
    """
    match = _RFC3339.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not a time of RFC 3339")
    if text == NEVER:
        return 0
    whole = datetime.fromisoformat(match[1] + ("+00:00" if match[3] == "Z" else match[3]))
    return int(whole.timestamp()) * 10**9 + int((match[2] or "").ljust(9, "0"))
