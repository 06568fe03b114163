"""Converts gRPC errors of CSI drivers."""

from collections.abc import Iterable

from grpc import StatusCode, aio

from shoal.errors import ShoalError

_UNCERTAIN = frozenset(
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
"""After these it may have been done, or still be under way (CSI specification, "Error Scheme")."""


_MIN_REDACTED_WORD = 8
"""Words of a secret that are so long are masked by themselves too; shorter ones are in any text."""


class DriverError(ShoalError):
    """A driver did not do what it was asked.

    Attributes:
        uncertain: whether it was done all the same is not known.
        unimplemented: the driver does not have the call.
    """

    def __init__(self, text: str, *, uncertain: bool, unimplemented: bool = False) -> None:
        super().__init__(text)
        self.uncertain = uncertain
        self.unimplemented = unimplemented


def driver_error(
    error: aio.AioRpcError, *, driver: str, method: str, seconds: float, secrets: Iterable[str] = ()
) -> DriverError:
    """The failure of one call.

    Args:
        method: of the interface, "NodeStageVolume".
        seconds: how long it was given.
        secrets: what the driver was given and may have put into its words.
    """
    code, details = error.code(), redacted(" ".join((error.details() or "").split()), secrets)
    uncertain = code in _UNCERTAIN
    if code is StatusCode.DEADLINE_EXCEEDED:
        return DriverError(f"no response from driver {driver} to {method} within {seconds:g} s", uncertain=uncertain)
    if code is StatusCode.UNAVAILABLE:
        return DriverError(f"driver {driver} is unavailable: {details or 'no response'}", uncertain=uncertain)
    return DriverError(
        f"driver {driver}: {method}: {details or 'no reason given'} ({code.name})",
        uncertain=uncertain,
        unimplemented=code is StatusCode.UNIMPLEMENTED,
    )


def redacted(line: str, secrets: Iterable[str]) -> str:
    """A line without these secrets, whatever blanks stood in them."""
    known = {" ".join(secret.split()) for secret in secrets}
    known |= {part for secret in known for part in secret.split() if len(part) >= _MIN_REDACTED_WORD}
    for word in sorted(known - {""}, key=len, reverse=True):
        line = line.replace(word, "[secret]")
    return line
