"""Collect the errors of several flags, so that all of them are reported at once."""

from types import TracebackType

from shoal.errors import Fault, InvalidInput


class FaultCollector:
    """`with gathered: …` takes the faults of what is tried, and goes on after it."""

    def __init__(self) -> None:
        self.faults: list[Fault] = []

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        if not isinstance(error, InvalidInput):
            return False
        self.faults += error.faults
        return True

    def raise_faults(self) -> None:
        """Raises InvalidInput when there are any."""
        if self.faults:
            raise InvalidInput(self.faults)
