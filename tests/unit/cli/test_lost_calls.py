"""What the command line does with a call whose connection is lost."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc.aio
import pytest

from cli.client import READ_ATTEMPTS, Client
from shoal.api.v1.control_pb2 import CreateNetworkRequest, GetClusterRequest, WatchEventsRequest
from shoal.api.v1.engine_pb2 import CreateContainerRequest
from shoal.contexts.context_file import Context
from shoal.errors import ConnectionLost, Refused, ShoalError, Timeout, Unavailable
from shoal.rpc.read_revisions import NOT_MADE_KEY
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


def test_a_change_that_one_manager_refuses_for_its_etcd_is_made_by_another() -> None:
    trailer = grpc.aio.Metadata((ORIGIN_KEY, "1"), (NOT_MADE_KEY, "1"))
    refused = grpc.aio.AioRpcError(grpc.StatusCode.UNAVAILABLE, grpc.aio.Metadata(), trailer, "nothing was changed")
    for addresses, times, made in ((("one", "two"), 1, True), (("one", "two"), 2, False), (("one",), 1, False)):
        method, requests = failing(times, lambda: refused)
        asking = client()
        asking.context = Context("c", addresses, Path("/nowhere"))
        if made:
            assert asking.call(method, CreateNetworkRequest()) == "answer"
        else:
            with pytest.raises(Unavailable, match="nothing was changed"):
                asking.call(method, CreateNetworkRequest())
        assert len(requests) == len(addresses)


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


def streaming(*turns: list[str | grpc.RpcError]) -> tuple[Any, list[object]]:
    """A method whose calls answer so, one after the other, and the requests that it got."""
    requests: list[object] = []

    class Answers(list[str | grpc.RpcError]):
        def __iter__(self) -> Iterator[str]:
            for each in super().__iter__():
                if isinstance(each, grpc.RpcError):
                    raise each
                yield each

        def cancel(self) -> None:
            pass

    def method(request: object, timeout: float | None = None) -> Answers:
        del timeout
        requests.append(request)
        return Answers(turns[len(requests) - 1])

    return method, requests


class Numbered:
    """A stream of which each request says how many answers there have been."""

    def __init__(self) -> None:
        self.answers = 0

    def request(self) -> int:
        return self.answers

    def unseen(self, answer: str) -> str | None:
        self.answers += 1
        return None if answer == "seen" else answer


def test_a_stream_goes_on_at_another_manager() -> None:
    method, requests = streaming(["a", failure(LOST)], [failure(NOT_SENT)], ["seen", "b"])
    assert list(client().resumed_stream(method, Numbered())) == ["a", "b"]
    assert requests == [0, 1, 1]


@pytest.mark.parametrize(
    ("error", "kind"),
    [(failure(NOT_SENT), Unavailable), (failure("in use", grpc.StatusCode.FAILED_PRECONDITION, ours=True), Refused)],
)
def test_a_stream_that_never_began_fails_at_once(error: grpc.RpcError, kind: type[ShoalError]) -> None:
    method, requests = streaming([error], ["never"])
    with pytest.raises(kind):
        list(client().resumed_stream(method, Numbered()))
    assert len(requests) == 1


@pytest.mark.parametrize(("request_type", "says_so"), [(WatchEventsRequest, False), (CreateContainerRequest, True)])
def test_a_stream_of_a_change_says_that_it_may_have_been_made(request_type: type[Any], says_so: bool) -> None:
    method, _ = streaming([failure(LOST)])
    with pytest.raises(ConnectionLost) as caught:
        list(client().stream(method, request_type(), seconds=None))
    assert ("may have been made" in str(caught.value)) is says_so


def test_a_call_that_takes_long_says_so_too() -> None:
    class Pending:
        def result(self) -> str:
            raise failure(LOST)

        def cancel(self) -> None:
            pass

    with pytest.raises(ConnectionLost, match="may have been made: check before"):
        client().finish(Pending)
