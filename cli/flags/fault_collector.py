"""Collect the errors of several flags, so that all of them are reported at once."""

from collections.abc import Iterator
from contextlib import contextmanager

from shoal.errors import Fault, InvalidInput


def faults_of_flag(flag: str, error: InvalidInput) -> list[Fault]:
    """What is wrong with the value of a flag; parsers do not know by which flag the value was given."""
    return [Fault(fault.path, f"{flag}: {fault.message}") for fault in error.faults]


class FaultCollector:
    """`with collector.flag("--label"): …` records what is wrong with a value of the flag, and continues after it."""

    def __init__(self) -> None:
        self.faults: list[Fault] = []

    @contextmanager
    def flag(self, name: str) -> Iterator[None]:
        """Records an InvalidInput as one of this flag."""
        try:
            yield
        except InvalidInput as error:
            self.faults += faults_of_flag(name, error)

    def raise_faults(self) -> None:
        """Raises InvalidInput when there are any."""
        if self.faults:
            raise InvalidInput(self.faults)
