"""Parse integers. A module of its own, since `service scale` needs no other parser."""

from shoal.errors import InvalidInput


def parse_count(value: str, maximum: int = 1_000_000, *, key: str = "") -> int:
    """An integer from 0 to `maximum`.

    Args:
        key: what the number is of, where it is part of a longer value.
    Raises:
        InvalidInput: it is none.
    """
    if not (value.isascii() and value.isdigit() and len(value) <= 10 and int(value) <= maximum):
        prefix = f"{key}: " if key else ""
        raise InvalidInput(f"{prefix}{value!r} must be an integer from 0 to {maximum:,}")
    return int(value)
