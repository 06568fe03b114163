"""Converts gRPC errors of CSI drivers."""

from collections.abc import Iterable

from grpc import StatusCode, aio

from shoal.errors import ShoalError

_OUTCOME_UNKNOWN = frozenset(
    {
        StatusCode.CANCELLED,
        StatusCode.UNKNOWN,
        StatusCode.DEADLINE_EXCEEDED,
        StatusCode.RESOURCE_EXHAUSTED,
        StatusCode.ABORTED,
        StatusCode.INTERNAL,
        StatusCode.UNAVAILABLE,
    }
)
"""After these the call may have been executed, or still be in progress (CSI specification, "Error Scheme")."""


_MIN_REDACTED_WORD = 8
"""Words of a secret of at least this length are also redacted individually; shorter ones occur in any text."""


class DriverError(ShoalError):
    """A call to a driver failed.

    Attributes:
        is_outcome_unknown: the call may have been executed nevertheless.
        unimplemented: the driver does not implement the call.
    """

    def __init__(self, text: str, *, is_outcome_unknown: bool, unimplemented: bool = False) -> None:
        super().__init__(text)
        self.is_outcome_unknown = is_outcome_unknown
        self.unimplemented = unimplemented


def driver_error(
    error: aio.AioRpcError, *, driver: str, method: str, seconds: float, secrets: Iterable[str] = ()
) -> DriverError:
    """Convert the gRPC error of one call.

    Args:
        method: of the interface, "NodeStageVolume".
        seconds: the call's timeout.
        secrets: passed to the driver, so that its message may contain them.
    """
    code, details = error.code(), redacted(" ".join((error.details() or "").split()), secrets)
    is_outcome_unknown = code in _OUTCOME_UNKNOWN
    if code is StatusCode.DEADLINE_EXCEEDED:
        return DriverError(
            f"no response from driver {driver} to {method} within {seconds:g} s", is_outcome_unknown=is_outcome_unknown
        )
    if code is StatusCode.UNAVAILABLE:
        return DriverError(
            f"driver {driver} is unavailable: {details or 'no response'}", is_outcome_unknown=is_outcome_unknown
        )
    return DriverError(
        f"driver {driver}: {method}: {details or 'no reason given'} ({code.name})",
        is_outcome_unknown=is_outcome_unknown,
        unimplemented=code is StatusCode.UNIMPLEMENTED,
    )


def redacted(line: str, secrets: Iterable[str]) -> str:
    """A line without these secrets, whatever whitespace they contain."""
    known = {" ".join(secret.split()) for secret in secrets}
    known |= {part for secret in known for part in secret.split() if len(part) >= _MIN_REDACTED_WORD}
    for word in sorted(known - {""}, key=len, reverse=True):
        line = line.replace(word, "[secret]")
    return line
