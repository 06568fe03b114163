"""What the command line does with a call whose connection is lost."""

from collections.abc import Callable
from typing import Any

import grpc.aio
import pytest

from cli.client import READ_ATTEMPTS, Client
from shoal.api.v1.control_pb2 import CreateNetworkRequest, GetClusterRequest
from shoal.errors import Refused, ShoalError, Timeout, Unavailable
from shoal.rpc.status_mapping import ORIGIN_KEY, is_outcome_unknown

LOST = "recvmsg:Connection reset by peer"
NOT_SENT = "failed to connect to all addresses; last error: UNKNOWN: ipv4:192.0.2.1:7440: Connection refused"


def failure(
    details: str, code: grpc.StatusCode = grpc.StatusCode.UNAVAILABLE, *, ours: bool = False
) -> grpc.aio.AioRpcError:
    """The error of a call that failed."""
    trailer = grpc.aio.Metadata((ORIGIN_KEY, "1")) if ours else grpc.aio.Metadata()
    return grpc.aio.AioRpcError(code, grpc.aio.Metadata(), trailer, details)


def client() -> Client:
    """Without a connection: the calls are the test's own."""
    made = Client.__new__(Client)
    made._address = "192.0.2.1:7440"
    return made


def failing(times: int, error: Callable[[], grpc.RpcError]) -> tuple[Any, list[object]]:
    """A method that fails so often, and the requests that it got."""
    requests: list[object] = []

    def method(request: object, timeout: float | None = None) -> str:
        del timeout
        requests.append(request)
        if len(requests) <= times:
            raise error()
        return "answer"

    return method, requests


def test_a_read_is_made_again() -> None:
    method, requests = failing(READ_ATTEMPTS - 1, lambda: failure(LOST))
    assert client().call(method, GetClusterRequest()) == "answer"
    assert len(requests) == READ_ATTEMPTS


def test_a_read_is_not_made_again_for_ever() -> None:
    method, requests = failing(99, lambda: failure(LOST))
    with pytest.raises(Unavailable):
        client().call(method, GetClusterRequest())
    assert len(requests) == READ_ATTEMPTS


def test_a_write_is_made_once_and_may_have_been_made() -> None:
    method, requests = failing(1, lambda: failure(LOST))
    with pytest.raises(Timeout, match="may have been made: check before"):
        client().call(method, CreateNetworkRequest())
    assert len(requests) == 1


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (failure(NOT_SENT), Unavailable),
        (failure("etcd is unavailable", ours=True), Unavailable),
        (failure("in use", grpc.StatusCode.FAILED_PRECONDITION, ours=True), Refused),
    ],
)
@pytest.mark.parametrize("request_type", [GetClusterRequest, CreateNetworkRequest])
def test_an_answer_and_what_was_never_sent_are_final(
    error: grpc.aio.AioRpcError, kind: type[ShoalError], request_type: type[Any]
) -> None:
    method, requests = failing(99, lambda: error)
    with pytest.raises(kind) as caught:
        client().call(method, request_type())
    assert "may have been made" not in str(caught.value)
    assert len(requests) == 1
    assert not is_outcome_unknown(error)
