"""Parse sizes, durations and CPUs in Docker's notation. `decimal` is imported where there is something to parse: most
commands have no such flag.
"""

import re

from shoal.errors import InvalidInput

_SIZES = {"": 1, "b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40, "p": 1 << 50}
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([bkmgtp]?)(?:i?b)?", re.IGNORECASE)
_DURATIONS_MS = {
    "ns": "1e-6",
    "us": "1e-3",
    "µs": "1e-3",
    "ms": "1",
    "s": "1000",
    "m": "60000",
    "h": "3600000",
    "d": "86400000",
}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m|h|d)")
MAX_BYTES = 1 << 60
MAX_MS = 10 * 365 * 86_400_000


def parse_bytes(text: str) -> int:
    """Bytes in "64M", "1.5g", "512kb", "1048576": powers of 1,024.

    Raises:
        InvalidInput: it is not a size.
    """
    from decimal import Decimal

    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise InvalidInput(f"{text!r} is not a valid size; use a value such as 64M or 1.5G")
    amount = int(Decimal(match[1]) * _SIZES[match[2].lower()])
    if amount > MAX_BYTES:
        raise InvalidInput(f"{text!r} is too large; the maximum is 1 EiB")
    return amount


def parse_duration_ms(text: str) -> int:
    """Milliseconds in "10s", "1m30s", "500ms", "2h", "1d".

    Raises:
        InvalidInput: it is not a duration, or of more than ten years.
    """
    from decimal import Decimal

    parts = _DURATION.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text.strip():
        if text.strip() == "0":
            return 0
        raise InvalidInput(f"{text!r} is not a valid duration; use a value such as 10s or 1m30s")
    amount = int(sum(Decimal(number) * Decimal(_DURATIONS_MS[unit]) for number, unit in parts))
    if not amount and any(Decimal(number) for number, _ in parts):
        raise InvalidInput(f"{text!r} is too short; the minimum is 1ms")
    if amount > MAX_MS:
        raise InvalidInput(f"{text!r} is too long; the maximum is 10 years")
    return amount


def parse_nano_cpus(text: str) -> int:
    """Billionths of a CPU in "0.5" or "2".

    Raises:
        InvalidInput: it is not a number of CPUs.
    """
    from decimal import Decimal, InvalidOperation

    try:
        amount = Decimal(text.strip()) * 1_000_000_000
    except InvalidOperation:
        amount = Decimal("NaN")
    if not amount.is_finite() or amount < 0 or amount > 10**15:
        raise InvalidInput(f"{text!r} is not a valid number of CPUs; use a value such as 0.5 or 2")
    return int(amount)
