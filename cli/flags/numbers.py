"""Whole numbers as flags give them. Alone, since `service scale` needs nothing else of the flags."""

from shoal.errors import InvalidInput


def count(flag: str, value: str, most: int = 1_000_000) -> int:
    """A whole number from 0."""
    if not (value.isascii() and value.isdigit() and len(value) <= 10 and int(value) <= most):
        raise InvalidInput(f"{flag}: {value!r} is not a whole number from 0 to {most:,}")
    return int(value)
