"""Moments in filters of images (`until`). Pure."""

import re
from datetime import UTC, datetime

from shoal.errors import InvalidInput
from shoal.spec_parsers.units import parse_duration_ms

_SECONDS = re.compile(r"[0-9]{1,12}(\.[0-9]{1,9})?")


def moment_ms(text: str, now_ms: int) -> int:
    """A moment as Docker takes it: a duration before now, RFC 3339 (UTC where it has no zone), or seconds since 1970.

    Raises:
        InvalidInput: none of these.
    """
    if _SECONDS.fullmatch(text):
        return int(float(text) * 1000)
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return now_ms - _duration_ms(text)
    return round((found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp() * 1000)


def _duration_ms(text: str) -> int:
    try:
        return parse_duration_ms(text)
    except InvalidInput as error:
        raise InvalidInput(f'"{text[:80]}" must be a duration (24h), a timestamp or seconds since 1970') from error
