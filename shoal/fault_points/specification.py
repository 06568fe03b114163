"""The text of `SHOAL_FAULTS`: `point=action[:argument][@occurrence]`, separated by commas. Pure."""

import errno
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import Enum


class FaultAction(Enum):
    """What happens at a point."""

    KILL = "kill"
    RAISE = "raise"
    HANG = "hang"


@dataclass(frozen=True)
class InjectedFault:
    """What a specification says of one point.

    Attributes:
        number: of an operating system's error, with RAISE.
        seconds: with HANG; None: for ever.
        occurrence: at which time the point is reached, from 1 on; 0: at each.
    """

    action: FaultAction
    number: int = 0
    seconds: float | None = None
    occurrence: int = 0

    def applies(self, count: int) -> bool:
        """Whether it happens when the point is reached for the `count`th time."""
        return self.occurrence in (0, count)


def parse_faults(text: str, points: Collection[str]) -> Mapping[str, InjectedFault]:
    """The faults by point; the last of several for one point counts.

    Args:
        points: the names that exist.
    Raises:
        ValueError: not such a text; its message says what is wrong.
    """
    faults: dict[str, InjectedFault] = {}
    for item in filter(None, (each.strip() for each in text.replace("\n", ",").split(","))):
        name, separator, what = item.partition("=")
        if not separator:
            raise ValueError(f"{item!r} is not POINT=ACTION")
        if name not in points:
            raise ValueError(f"fault point not found: {name!r}")
        faults[name] = _parse_fault(what)
    return faults


def _parse_fault(text: str) -> InjectedFault:
    what, at, occurrence = text.partition("@")
    name, _, argument = what.partition(":")
    try:
        action = FaultAction(name)
    except ValueError:
        raise ValueError(f"{name!r} is none of kill, raise and hang") from None
    if at and not (occurrence.isdecimal() and int(occurrence)):
        raise ValueError(f"{occurrence!r} is not the number of an occurrence")
    times = int(occurrence) if at else 0
    match action:
        case FaultAction.KILL if argument:
            raise ValueError(f"kill takes no argument, not {argument!r}")
        case FaultAction.KILL:
            return InjectedFault(action, occurrence=times)
        case FaultAction.RAISE:
            return InjectedFault(action, number=_error_number(argument), occurrence=times)
        case FaultAction.HANG:
            return InjectedFault(action, seconds=_seconds(argument), occurrence=times)


def _error_number(name: str) -> int:
    number = getattr(errno, name, None) if name.startswith("E") else None
    if not isinstance(number, int):
        raise ValueError(f"{name!r} is not the name of an error, such as ENOSPC")
    return number


def _seconds(text: str) -> float | None:
    try:
        return float(text) if text else None
    except ValueError:
        raise ValueError(f"{text!r} is not a number of seconds") from None
