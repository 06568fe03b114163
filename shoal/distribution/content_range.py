"""`Content-Range` of a part of a blob (RFC 9110 section 14.4). Pure."""

import re

_RANGE = re.compile(r"bytes ([0-9]{1,19})-([0-9]{1,19})/([0-9]{1,19}|\*)")


def range_start(header: str, size: int) -> int | None:
    """The first byte of a range that goes on to the end of a blob of `size` bytes; None for any other header."""
    found = _RANGE.fullmatch(header.strip())
    if found is None:
        return None
    first, last = int(found[1]), int(found[2])
    if not first <= last == size - 1 or found[3] not in ("*", str(size)):
        return None
    return first
