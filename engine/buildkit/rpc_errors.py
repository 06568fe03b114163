"""Errors of calls of BuildKit's API, with their details."""

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any, NoReturn

from grpc import StatusCode, aio

from engine.buildkit.build_run import SolveFailed
from engine.buildkit.translation.build_errors import status_of
from engine.buildkit.v1.gateway_pb2 import Status
from shoal.errors import ShoalError

_DETAILS = "grpc-status-details-bin"
_CODES = {code.value[0]: code for code in StatusCode}

Context = aio.ServicerContext[Any, Any]


async def abort(context: Context, status: Status) -> NoReturn:
    """End a call with a status."""
    code = _CODES.get(status.code, StatusCode.UNKNOWN)
    if code is StatusCode.OK:
        code = StatusCode.UNKNOWN
    text = " ".join(status.message.split("\n"))
    await context.abort(code, text, ((_DETAILS, status.SerializeToString()),))
    raise AssertionError("abort has returned")


class CallFailed(Exception):
    """Attributes: status: with which a call ends."""

    def __init__(self, status: Status) -> None:
        self.status = status
        super().__init__(status.message)


@contextmanager
def failures() -> Generator[None]:
    """Errors of the cluster and of builds as `CallFailed`."""
    try:
        yield
    except ShoalError as error:
        raise CallFailed(status_of(error, None, "", b"")) from error
    except SolveFailed as error:
        raise CallFailed(error.status) from error
