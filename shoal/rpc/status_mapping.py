"""The mapping between exceptions and gRPC status codes, and the texts for connection errors.

Imports neither `cryptography` nor a server: the command line needs this on every start.
"""

from collections.abc import Mapping
from typing import NoReturn

import grpc
from google.protobuf.message import DecodeError
from grpc import StatusCode, aio

from shoal import errors
from shoal.errors import InvalidInput, ShoalError, Unauthenticated, Unavailable
from shoal.rpc.read_revisions import NOT_MADE_KEY

ORIGIN_KEY = "shoal-error"
"""Trailing metadata of every error that Shoal's own servers send: its text is for the user as it stands."""

FAULTS_KEY = "shoal-faults-bin"
"""Trailing metadata of INVALID_ARGUMENT: a `Faults` message."""

RETRY_AFTER_KEY = "shoal-retry-after-ms"
"""Trailing metadata of RESOURCE_EXHAUSTED that passes by itself: when to come back, milliseconds in decimal."""

MAX_FAULTS = 200
MAX_RETRY_AFTER_SECONDS = 60.0
_MAX_FAULT_BYTES = 32 * 1024
_MAX_DETAILS = 2_000

CODES: dict[type[ShoalError], StatusCode] = {
    errors.InvalidInput: StatusCode.INVALID_ARGUMENT,
    errors.NotFound: StatusCode.NOT_FOUND,
    errors.AlreadyExists: StatusCode.ALREADY_EXISTS,
    errors.Conflict: StatusCode.ABORTED,
    errors.Refused: StatusCode.FAILED_PRECONDITION,
    errors.Unauthenticated: StatusCode.UNAUTHENTICATED,
    errors.PermissionDenied: StatusCode.PERMISSION_DENIED,
    errors.Exhausted: StatusCode.RESOURCE_EXHAUSTED,
    errors.Unavailable: StatusCode.UNAVAILABLE,
    errors.Timeout: StatusCode.DEADLINE_EXCEEDED,
}
"""Not `LeadershipLost`: it never leaves a manager, and is answered UNAVAILABLE so that the caller tries again."""

_EXCEPTIONS = {code: exception for exception, code in CODES.items()}


def code_of(error: ShoalError) -> StatusCode:
    """The status code of an exception; its nearest listed base decides."""
    if isinstance(error, errors.LeadershipLost):
        return StatusCode.UNAVAILABLE
    return next((CODES[kind] for kind in type(error).__mro__ if kind in CODES), StatusCode.UNKNOWN)


def details_of(error: ShoalError) -> str:
    """The status text: one line, bounded, since it travels in a header."""
    text = " ".join(str(error).split())
    return text if len(text) <= _MAX_DETAILS else text[:_MAX_DETAILS] + " …"


def trailer_of(error: ShoalError) -> tuple[tuple[str, bytes], ...]:
    """The trailing metadata that goes with the status: its origin, and of an invalid input as many faults as fit."""
    origin = (ORIGIN_KEY, b"1")
    if isinstance(error, errors.Busy):
        return (origin, (RETRY_AFTER_KEY, b"%d" % round(error.retry_after_seconds * 1000)))
    if not isinstance(error, InvalidInput):
        return (origin,)
    # Here, not above: an agent needs nothing else of the control API, which takes half a megabyte.
    from shoal.api.v1.control_pb2 import Fault, Faults

    faults, size = Faults(), 0
    for fault in error.faults[:MAX_FAULTS]:
        message = Fault(path=fault.path, message=fault.message[:_MAX_DETAILS])
        size += message.ByteSize()
        if size > _MAX_FAULT_BYTES:
            break
        faults.faults.append(message)
    return (origin, (FAULTS_KEY, faults.SerializeToString()))


def to_shoal_error(error: grpc.RpcError, *, address: str = "the manager") -> ShoalError:
    """What a failed call means, with a text for the user.

    Args:
        address: who was called, for the texts on connections.
    """
    code, details, trailer = _read(error)
    if code is StatusCode.INVALID_ARGUMENT:
        return InvalidInput(_faults(trailer) or details)
    if RETRY_AFTER_KEY in trailer and code is StatusCode.RESOURCE_EXHAUSTED:
        return errors.Busy(details, _retry_after(trailer[RETRY_AFTER_KEY]))
    if ORIGIN_KEY in trailer:
        return _EXCEPTIONS.get(code, Unavailable)(details)
    if code is StatusCode.UNAVAILABLE:
        found = _connection_error(details, address)
        return errors.ConnectionLost(str(found)) if is_outcome_unknown(error) else found
    if code is StatusCode.DEADLINE_EXCEEDED:
        return errors.Timeout(f"{address} did not respond in time; the operation may still complete")
    if code is StatusCode.UNIMPLEMENTED:
        return Unavailable(f"{address} does not support this call; check that it runs this version of Shoal")
    if code is StatusCode.RESOURCE_EXHAUSTED:
        return errors.Exhausted(f"{address} rejected the message as too large, or is out of resources: {details}")
    return Unavailable(f"the call to {address} failed: {details or code.name}; check its logs")


def is_outcome_unknown(error: grpc.RpcError) -> bool:
    """Whether the connection was lost after the call had been sent: it may have been executed.

    An error that Shoal's own server sent is an answer, and one of connecting means that nothing was sent.
    """
    code, details, trailer = _read(error)
    text = details.lower()
    return code is StatusCode.UNAVAILABLE and ORIGIN_KEY not in trailer and not any(each in text for each in _NOT_SENT)


def is_not_made(error: grpc.RpcError) -> bool:
    """Whether a manager that is disconnected from etcd has refused the call: for certain nothing was changed."""
    code, _, trailer = _read(error)
    return code is StatusCode.UNAVAILABLE and NOT_MADE_KEY in trailer


_NOT_SENT = (
    "failed to connect",
    "connect failed",
    "backends failing",
    "resol",
    "refused",
    "handshak",
    "verification",
    "endpoint closing",
)
"""In gRPC's own texts on a call that waited for a connection."""


def raise_for(error: grpc.RpcError, *, address: str = "the manager") -> NoReturn:
    """Raise what `to_shoal_error` makes of it. The cause is kept for the log."""
    raise to_shoal_error(error, address=address) from error


def _read(error: grpc.RpcError) -> tuple[StatusCode, str, Mapping[str, str | bytes]]:
    """Both kinds of error have these methods: that of asyncio by its class, the blocking one as it is a call too."""
    if isinstance(error, (aio.AioRpcError, grpc.Call)):
        return error.code(), error.details() or "", dict(error.trailing_metadata() or ())
    return StatusCode.UNKNOWN, str(error), {}


def _faults(trailer: Mapping[str, str | bytes]) -> list[errors.Fault]:
    from shoal.api.v1.control_pb2 import Faults

    packed = trailer.get(FAULTS_KEY, b"")
    try:
        sent = Faults.FromString(packed) if isinstance(packed, bytes) else Faults()
    except DecodeError:
        return []
    return [errors.Fault(fault.path, fault.message) for fault in sent.faults]


def _retry_after(value: str | bytes) -> float:
    """Seconds; what is no number of milliseconds is the longest time."""
    try:
        return min(max(int(value), 0) / 1000, MAX_RETRY_AFTER_SECONDS)
    except ValueError:
        return MAX_RETRY_AFTER_SECONDS


def _connection_error(details: str, address: str) -> ShoalError:
    """gRPC says why it has no connection only in its text: its own, and BoringSSL's."""
    text = details.lower()
    for words, kind, advice in _CONNECTION_TEXTS:
        if any(word in text for word in words):
            return kind(f"{address} {advice}")
    return Unavailable(f"{address} is unavailable: {details or 'the connection was lost'}")


_CONNECTION_TEXTS: tuple[tuple[tuple[str, ...], type[ShoalError], str], ...] = (
    (
        ("certificate_verify_failed", "verification failed", "hostname verification"),
        Unauthenticated,
        "presented a certificate that has expired or belongs to another cluster; check the address and the context",
    ),
    (
        ("wrong_version_number", "http_request", "alpn"),
        Unavailable,
        "does not speak gRPC over TLS; check that this is a manager's API address",
    ),
    (
        # Our own end of a connection whose handshake took too long (min_reconnect_backoff_ms).
        ("endpoint closing", "handshake timed out"),
        Unavailable,
        "accepts connections but does not respond: it is suspended or overloaded; check its logs and try again",
    ),
    (
        ("handshak", "alert", "ssl", "tls"),
        Unauthenticated,
        "rejected the client certificate: it has expired or belongs to another cluster; "
        "check the address and the context",
    ),
    (
        # TLS 1.3: the server judges our certificate after the handshake has ended for us, and sends no reason.
        ("backends failing; last error: unavailable", "socket closed"),
        Unavailable,
        "closed the connection: it is shutting down, "
        "or the client certificate has expired or belongs to another cluster",
    ),
    (("refused",), Unavailable, "refused the connection; check that it is running and that the address is correct"),
    (("dns", "resol", "domain name"), Unavailable, "cannot be resolved; check the address"),
    (
        ("timed out", "timeout", "unreachable", "no route", "ping"),
        Unavailable,
        "is unreachable; check the network and the firewall",
    ),
)
