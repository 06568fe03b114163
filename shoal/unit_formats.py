"""Format sizes, durations and CPUs in the notation that commands accept, and ages."""

_UNITS_MS = (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1))


def size(amount: int) -> str:
    """ "64 MiB", with one decimal below 10 where it is not whole."""
    value, unit = float(amount), "B"
    for unit in ("B", "KiB", "MiB", "GiB", "TiB", "PiB"):
        if value < 1024 or unit == "PiB":
            break
        value /= 1024
    return f"{value:.1f} {unit}" if value < 10 and value % 1 else f"{value:.0f} {unit}"


def exact_size(amount: int) -> str:
    """ "64 MiB"; with the bytes behind it where that is not all: "95 MiB (100000000 bytes)"."""
    whole = amount
    while whole and whole % 1024 == 0:
        whole //= 1024
    return size(amount) if whole < 1024 else f"{size(amount)} ({amount} bytes)"


def cpus(nano: int) -> str:
    """ "0.5" from billionths, exactly."""
    return f"{nano / 1e9:.9f}".rstrip("0").rstrip(".")


def duration(milliseconds: int) -> str:
    """ "1m30s", exact to the millisecond."""
    if milliseconds <= 0:
        return f"{milliseconds}ms" if milliseconds else "0s"
    parts = []
    for unit, length in _UNITS_MS:
        count, milliseconds = divmod(milliseconds, length)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts)


def age(milliseconds: int) -> str:
    """ "3 minutes": the greatest whole unit of a time that has passed."""
    seconds = max(0, milliseconds) // 1000
    for unit, length in (("day", 86_400), ("hour", 3_600), ("minute", 60)):
        if seconds >= length:
            count = seconds // length
            return f"{count} {unit}{'s' if count > 1 else ''}"
    return f"{seconds} second{'' if seconds == 1 else 's'}"
