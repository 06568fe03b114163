"""Signals as Docker lets users and images name them (signal(7)): `SIGTERM`, `term`, `15`, `SIGRTMIN+3`. Pure."""

import re
import signal

_FIRST_REALTIME, _LAST = int(signal.SIGRTMIN), int(signal.SIGRTMAX)

_BY_NAME = {name.removeprefix("SIG"): int(each) for name, each in signal.Signals.__members__.items()}
_FROM_REALTIME = re.compile(r"(RTMIN\+|RTMAX-)([0-9]{1,2})")


def signal_number(name: str) -> int | None:
    """The number of a signal; None for what is none. With `SIG` or without, in letters of any case, or a number."""
    if name.isascii() and name.isdecimal():
        return int(name) if 1 <= int(name[:4]) <= _LAST else None
    short = name.upper().removeprefix("SIG")
    if short in _BY_NAME:
        return _BY_NAME[short]
    if (counted := _FROM_REALTIME.fullmatch(short)) is None:
        return None
    number = _FIRST_REALTIME + int(counted[2]) if counted[1] == "RTMIN+" else _LAST - int(counted[2])
    return number if _FIRST_REALTIME <= number <= _LAST else None
