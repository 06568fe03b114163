"""What a driver's refusal means, in words for the user and for whoever decides what follows."""

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


class DriverFailure(ShoalError):
    """A driver did not do what it was asked.

    Attributes:
        uncertain: whether it was done all the same is not known.
    """

    def __init__(self, text: str, *, uncertain: bool) -> None:
        super().__init__(text)
        self.uncertain = uncertain


def failure_of(error: aio.AioRpcError, *, driver: str, method: str, seconds: float) -> DriverFailure:
    """The failure of one call.

    Args:
        method: of the interface, "NodeStageVolume".
        seconds: how long it was given.
    """
    code, details = error.code(), " ".join((error.details() or "").split())
    uncertain = code in _UNCERTAIN
    if code is StatusCode.DEADLINE_EXCEEDED:
        return DriverFailure(f"driver {driver} did not answer {method} within {seconds:g} s", uncertain=uncertain)
    if code is StatusCode.UNAVAILABLE:
        return DriverFailure(f"driver {driver} is away: {details or 'no answer'}", uncertain=uncertain)
    return DriverFailure(
        f"driver {driver}: {method}: {details or 'no reason given'} ({code.name})", uncertain=uncertain
    )
