"""The exception hierarchy. Every error that users see is one of these, with a text that says what to do.

`shoal.rpc.status_mapping` has the table to and from gRPC status codes.
"""

from collections.abc import Sequence


class ShoalError(Exception):
    """Base of all: `str(error)` is one line for the user."""


class Fault(tuple[str, str]):
    """One thing wrong with an input.

    No `NamedTuple`: the process that unpacks layers imports this, and starts a third faster without `typing`.

    Attributes:
        path: where, in the terms of the input: `spec.task.container.image`, `services.web.ports[0]`.
        message: what, and what would be right.
    """

    __slots__ = ()

    def __new__(cls, path: str, message: str) -> "Fault":
        return super().__new__(cls, (path, message))

    def __getnewargs__(self) -> tuple[str, str]:
        return self.path, self.message

    @property
    def path(self) -> str:
        return self[0]

    @property
    def message(self) -> str:
        return self[1]

    def __repr__(self) -> str:
        return f"Fault(path={self.path!r}, message={self.message!r})"

    def __str__(self) -> str:
        return f"{self.path}: {self.message}" if self.path else self.message


class InvalidInput(ShoalError):
    """The input breaks its rules; all its faults are reported at once. gRPC INVALID_ARGUMENT."""

    def __init__(self, faults: Sequence[Fault] | str) -> None:
        self.faults = (Fault("", faults),) if isinstance(faults, str) else tuple(faults)
        super().__init__("; ".join(str(fault) for fault in self.faults))


class NotFound(ShoalError):
    """No such object. gRPC NOT_FOUND."""


class AlreadyExists(ShoalError):
    """The name is taken. gRPC ALREADY_EXISTS."""


class Conflict(ShoalError):
    """The object was changed by someone else since it was read. gRPC ABORTED.

    Attributes:
        key: kind and identifier of the record whose expectation failed (`name/service/web`); empty where it is not
            known, as on the other side of a connection.
    """

    def __init__(self, message: str, *, key: str = "") -> None:
        super().__init__(message)
        self.key = key


class Refused(ShoalError):
    """The object's state does not admit it: it is in use, or still running. gRPC FAILED_PRECONDITION."""


class Unauthenticated(ShoalError):
    """No identity, or one that is not trusted. gRPC UNAUTHENTICATED."""


class PermissionDenied(ShoalError):
    """The identity's role does not admit it. gRPC PERMISSION_DENIED."""


class Exhausted(ShoalError):
    """A bound is reached: disk, quota, addresses, size. gRPC RESOURCE_EXHAUSTED."""


class Busy(Exhausted):
    """The other side is at its capacity. gRPC RESOURCE_EXHAUSTED, with the time in its trailer.

    Attributes:
        retry_after_seconds: when to come back.
    """

    def __init__(self, text: str, retry_after_seconds: float) -> None:
        self.retry_after_seconds = retry_after_seconds
        super().__init__(text)


class Unavailable(ShoalError):
    """A part is unavailable; trying again later may succeed. gRPC UNAVAILABLE."""


class ConnectionLost(Unavailable):
    """The connection was lost after a call had been sent: what it asked for may have been done."""


class Timeout(ShoalError):
    """It was not done in the time given; the outcome is unknown. gRPC DEADLINE_EXCEEDED."""


class LeadershipLost(ShoalError):
    """This manager is no longer the leader: the write was not made. Ends the term; never reaches a user."""
