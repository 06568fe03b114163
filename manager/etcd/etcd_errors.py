"""What errors of etcd's calls mean."""

import grpc
import grpc.aio

from manager.etcd.v3 import etcd_pb2 as rpc
from manager.store.backend import Compacted, NoSpace, RequestTooLarge
from shoal.errors import Unavailable

UNREACHABLE = frozenset({grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.CANCELLED})
REPEATABLE = UNREACHABLE | {grpc.StatusCode.INTERNAL}
"""For calls that may be repeated. INTERNAL is gRPC's own, for a call that had ended before it was sent."""
BROKEN = UNREACHABLE | {grpc.StatusCode.UNKNOWN, grpc.StatusCode.INTERNAL}
_NO_SPACE = (
    "etcd has exceeded its space quota and rejects writes: run `shoal "
    "cluster compact` to compact and defragment it and clear its alarm"
)


class LeaseNotFound(Unavailable):
    """The lease of the call does not exist any more."""


class TooManyOperations(RequestTooLarge):
    """The member accepts fewer operations than was known."""


class TooManyBytes(RequestTooLarge):
    """The member accepts smaller requests than was known."""


def check_cancelled(answer: rpc.WatchResponse) -> None:
    """Raises Compacted, or Unavailable: etcd has ended the watch."""
    if answer.compact_revision:
        raise Compacted(f"etcd has compacted its history up to revision {answer.compact_revision}")
    if answer.canceled and "no leader" in answer.cancel_reason:
        raise Unavailable("this etcd member has no leader")
    if answer.canceled:
        raise Compacted(f"etcd cancelled the watch: {answer.cancel_reason or 'no reason given'}")


def watch_failure(error: grpc.aio.AioRpcError) -> Exception:
    """The error of a watch that broke."""
    return Unavailable(error_text(error)) if error.code() in BROKEN else rejection_of(error)


def rejection_of(error: grpc.aio.AioRpcError) -> Exception:
    """The error of a call that etcd rejected: it had no effect."""
    text = error_text(error)
    if error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED and "database space exceeded" in text:
        return NoSpace(_NO_SPACE)
    if error.code() is grpc.StatusCode.OUT_OF_RANGE and "compacted" in text:
        return Compacted(text)
    if error.code() is grpc.StatusCode.NOT_FOUND:
        return LeaseNotFound(f"the etcd lease has expired: {text}")
    if "request is too large" in text or "message larger than max" in text:
        return TooManyBytes(text)
    if "too many operations" in text:
        return TooManyOperations(f"transaction too large for etcd ({text})")
    return Unavailable(f"etcd rejected the call: {text}")


def error_text(error: grpc.aio.AioRpcError) -> str:
    """What etcd, or gRPC, says."""
    return f"{error.details() or 'no details'} ({error.code().name})"
