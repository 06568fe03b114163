"""Parse integers. A module of its own, since `service scale` needs no other flag."""

from shoal.errors import InvalidInput


def parse_count(flag: str, value: str, maximum: int = 1_000_000) -> int:
    """A whole number from 0."""
    if not (value.isascii() and value.isdigit() and len(value) <= 10 and int(value) <= maximum):
        raise InvalidInput(f"{flag}: {value!r} must be an integer from 0 to {maximum:,}")
    return int(value)
