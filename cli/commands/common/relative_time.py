"""Times that users give: a timestamp, or how long ago."""

from datetime import UTC, datetime

from shoal.errors import InvalidInput
from shoal.spec_parsers.units import parse_duration_ms


def parse_time_ns(flag: str, text: str, now_ns: int) -> int:
    """Nanoseconds since the epoch of an age ("10m") or a time (RFC 3339, UTC where no zone is given); 0 for nothing.

    Args:
        flag: by which the text was given, for the error.
    Raises:
        InvalidInput: it is neither.
    """
    if not text:
        return 0
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        try:
            return now_ns - parse_duration_ms(text) * 1_000_000
        except InvalidInput:
            raise InvalidInput(
                f"{flag}: {text!r} must be a relative time such as 10m or a timestamp such as 2026-01-31T12:00"
            ) from None
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1e9)
