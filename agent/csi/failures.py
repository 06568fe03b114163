"""What a driver's refusal means, in words for the user and for whoever decides what follows."""

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


_WORD_CHARACTERS = 8
"""Words of a secret that are so long are masked by themselves too; shorter ones are in any text."""


class DriverFailure(ShoalError):
    """A driver did not do what it was asked.

    Attributes:
        uncertain: whether it was done all the same is not known.
        unimplemented: the driver does not have the call.
    """

    def __init__(self, text: str, *, uncertain: bool, unimplemented: bool = False) -> None:
        super().__init__(text)
        self.uncertain = uncertain
        self.unimplemented = unimplemented


def failure_of(
    error: aio.AioRpcError, *, driver: str, method: str, seconds: float, secrets: Iterable[str] = ()
) -> DriverFailure:
    """The failure of one call.

    Args:
        method: of the interface, "NodeStageVolume".
        seconds: how long it was given.
        secrets: what the driver was given and may have put into its words.
    """
    code, details = error.code(), masked(" ".join((error.details() or "").split()), secrets)
    uncertain = code in _UNCERTAIN
    if code is StatusCode.DEADLINE_EXCEEDED:
        return DriverFailure(f"driver {driver} did not answer {method} within {seconds:g} s", uncertain=uncertain)
    if code is StatusCode.UNAVAILABLE:
        return DriverFailure(f"driver {driver} is away: {details or 'no answer'}", uncertain=uncertain)
    return DriverFailure(
        f"driver {driver}: {method}: {details or 'no reason given'} ({code.name})",
        uncertain=uncertain,
        unimplemented=code is StatusCode.UNIMPLEMENTED,
    )


def masked(line: str, secrets: Iterable[str]) -> str:
    """A line without these secrets, whatever blanks stood in them."""
    known = {" ".join(secret.split()) for secret in secrets}
    known |= {part for secret in known for part in secret.split() if len(part) >= _WORD_CHARACTERS}
    for word in sorted(known - {""}, key=len, reverse=True):
        line = line.replace(word, "[secret]")
    return line
