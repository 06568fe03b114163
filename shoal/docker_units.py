"""Sizes and ages as Docker's tables have them (docker/go-units)."""

_SIZES = ("B", "kB", "MB", "GB", "TB", "PB")
_MINUTE, _HOUR, _DAY = 60, 3600, 86_400


def docker_size(amount: int) -> str:
    """ "187MB", "1.23kB": powers of 1000, three digits (units.HumanSizeWithPrecision)."""
    value, unit = float(amount), _SIZES[0]
    for unit in _SIZES:
        if value < 1000 or unit == _SIZES[-1]:
            break
        value /= 1000
    return f"{value:.3g}{unit}" if value < 1000 else f"{value:.0f}{unit}"


def docker_age(seconds: int) -> str:
    """ "2 weeks", "About an hour" (units.HumanDuration)."""
    if seconds < 1:
        return "Less than a second"
    for limit, length, name in (
        (_MINUTE, 1, "second"),
        (_HOUR, _MINUTE, "minute"),
        (2 * _DAY, _HOUR, "hour"),
        (14 * _DAY, _DAY, "day"),
        (60 * _DAY, 7 * _DAY, "week"),
        (730 * _DAY, 30 * _DAY, "month"),
    ):
        if seconds < limit:
            return _counted(seconds // length, name)
    return f"{seconds // (365 * _DAY)} years"


def _counted(count: int, name: str) -> str:
    if count == 1 and name in ("minute", "hour"):
        return f"About {'an' if name == 'hour' else 'a'} {name}"
    return f"{count} {name}{'' if count == 1 else 's'}"
