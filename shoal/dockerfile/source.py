"""Positions in a Dockerfile, and faults at them."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from shoal.errors import Fault, InvalidInput

MAX_FAULTS = 100
"""Whoever reads on after these only says the same again."""

CONTEXT_LINES = 2
"""Lines that an excerpt shows before and after those at fault."""


class Location(NamedTuple):
    """Lines of a file, both from 1 and inclusive."""

    first: int
    last: int


class LocatedFault(NamedTuple):
    """One thing wrong with a Dockerfile."""

    location: Location
    message: str


class FaultList:
    """Collects the faults of one file.

    Args:
        file_name: what the user calls it; the path of each fault begins with it.
    """

    def __init__(self, file_name: str = "Dockerfile") -> None:
        self._file_name = file_name
        self._faults: list[LocatedFault] = []

    def add(self, location: Location, message: str) -> None:
        """One more fault."""
        self._faults.append(LocatedFault(location, message))

    @property
    def is_full(self) -> bool:
        """Whether reading on is of no use."""
        return len(self._faults) >= MAX_FAULTS

    @property
    def faults(self) -> Sequence[LocatedFault]:
        """All of them, by their place in the file."""
        return sorted(self._faults)

    def raise_any(self) -> None:
        """Raise InvalidInput with every fault, if there is one."""
        if self._faults:
            raise InvalidInput([_named(self._file_name, fault) for fault in self.faults])


def excerpt(text: str, location: Location) -> Iterable[str]:
    """Lines around a place, those of the place itself with a mark, as BuildKit prints them."""
    lines = text.split("\n")
    first = max(1, location.first - CONTEXT_LINES)
    for number in range(first, min(len(lines), location.last + CONTEXT_LINES) + 1):
        mark = ">>>" if location.first <= number <= location.last else "   "
        yield f"{number:4} | {mark} {lines[number - 1].rstrip()}".rstrip()


def _named(file_name: str, fault: LocatedFault) -> Fault:
    return Fault(f"{file_name}:{fault.location.first}", fault.message)
