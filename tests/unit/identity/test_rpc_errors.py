"""The table of exceptions and status codes, there and back, and the texts of broken connections."""

import grpc
import pytest
from grpc import StatusCode, aio

from shoal import errors
from shoal.errors import Fault, InvalidInput, ShoalError
from shoal.rpc.status_mapping import CODES, MAX_FAULTS, code_of, details_of, raise_for, to_shoal_error, trailer_of


def _over_the_wire(error: ShoalError) -> aio.AioRpcError:
    return aio.AioRpcError(code_of(error), aio.Metadata(), aio.Metadata(*trailer_of(error)), details_of(error))


def _below(code: StatusCode, details: str) -> aio.AioRpcError:
    return aio.AioRpcError(code, aio.Metadata(), aio.Metadata(), details)


def test_every_exception_of_the_tree_has_a_code() -> None:
    tree = {kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, ShoalError)}
    assert tree == {*CODES, errors.Busy, errors.ConnectionLost, errors.LeadershipLost, ShoalError}
    assert len(set(CODES.values())) == len(CODES)


@pytest.mark.parametrize("kind", [kind for kind in CODES if kind is not InvalidInput])
def test_an_exception_arrives_as_it_was_raised(kind: type[ShoalError]) -> None:
    # The text has words that a broken connection has too: it must not be taken for one.
    arrived = to_shoal_error(_over_the_wire(kind("etcd refused the connection in the TLS handshake")))
    assert type(arrived) is kind
    assert str(arrived) == "etcd refused the connection in the TLS handshake"


def test_a_busy_server_tells_when_to_come_back() -> None:
    arrived = to_shoal_error(_over_the_wire(errors.Busy("many connect", 2.5)))
    assert isinstance(arrived, errors.Busy) and str(arrived) == "many connect"
    assert arrived.retry_after_seconds == 2.5


@pytest.mark.parametrize("reported", ["9" * 40, "soon", "-1"])
def test_the_time_to_come_back_is_bounded(reported: str) -> None:
    trailer = aio.Metadata(("shoal-error", "1"), ("shoal-retry-after-ms", reported))
    arrived = to_shoal_error(aio.AioRpcError(StatusCode.RESOURCE_EXHAUSTED, aio.Metadata(), trailer, "busy"))
    assert isinstance(arrived, errors.Busy) and 0 <= arrived.retry_after_seconds <= 60


def test_all_faults_arrive() -> None:
    faults = [Fault("spec.name", "is empty"), Fault("", "no image")]
    arrived = to_shoal_error(_over_the_wire(InvalidInput(faults)))
    assert isinstance(arrived, InvalidInput)
    assert arrived.faults == tuple(faults)


def test_faults_are_bounded_by_number_and_size() -> None:
    many = to_shoal_error(_over_the_wire(InvalidInput([Fault(f"a{n}", "x") for n in range(1000)])))
    assert isinstance(many, InvalidInput)
    assert len(many.faults) == MAX_FAULTS
    huge = InvalidInput([Fault("a", "x" * 10**5) for _ in range(20)])
    assert sum(len(value) for _, value in trailer_of(huge)) < 40_000
    assert len(details_of(huge)) < 3_000


def test_a_status_text_is_one_line() -> None:
    assert details_of(errors.NotFound("one\ntwo\r\nthree")) == "one two three"


def test_damaged_faults_fall_back_on_the_text() -> None:
    broken = aio.AioRpcError(
        StatusCode.INVALID_ARGUMENT,
        aio.Metadata(),
        aio.Metadata(("shoal-faults-bin", b"\xff\xff")),
        "the name is empty",
    )
    assert str(to_shoal_error(broken)) == "the name is empty"


def test_a_deposed_leader_asks_to_try_again() -> None:
    assert code_of(errors.LeadershipLost("term 4 is over")) is StatusCode.UNAVAILABLE


@pytest.mark.parametrize(
    ("details", "kind", "reported"),
    [
        ("Failed to connect to remote host: Connection refused", errors.Unavailable, "h:1 refused the connection"),
        ("Ssl handshake failed: CERTIFICATE_VERIFY_FAILED", errors.Unauthenticated, "belongs to another cluster"),
        ("Hostname Verification Check failed.", errors.Unauthenticated, "belongs to another cluster"),
        ("Tls handshake failed: WRONG_VERSION_NUMBER", errors.Unavailable, "does not speak gRPC"),
        (
            "connections to all backends failing; last error: UNAVAILABLE: ipv4:127.0.0.1:1: Socket closed",
            errors.Unavailable,
            "closed the connection",
        ),
        (
            "connections to all backends failing; last error: UNAVAILABLE: ipv4:127.0.0.1:1: "
            "Handshake read failed (Endpoint closing)",
            errors.Unavailable,
            "h:1 accepts connections but does not respond",
        ),
        ("Handshake read failed (Socket closed)", errors.Unauthenticated, "rejected the client certificate"),
        ("errors resolving x:1: Domain name not found", errors.Unavailable, "cannot be resolved"),
        ("connect failed: No route to host", errors.Unavailable, "the firewall"),
        ("something new", errors.ConnectionLost, "something new"),
        ("", errors.ConnectionLost, "the connection was lost"),
    ],
)
def test_a_broken_connection_is_told_with_the_address(details: str, kind: type[ShoalError], reported: str) -> None:
    error = to_shoal_error(_below(StatusCode.UNAVAILABLE, details), address="h:1")
    assert type(error) is kind
    assert "h:1" in str(error)
    assert reported in str(error)


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (StatusCode.DEADLINE_EXCEEDED, errors.Timeout),
        (StatusCode.UNIMPLEMENTED, errors.Unavailable),
        (StatusCode.RESOURCE_EXHAUSTED, errors.Exhausted),
        (StatusCode.INTERNAL, errors.Unavailable),
        (StatusCode.CANCELLED, errors.Unavailable),
    ],
)
def test_what_grpc_itself_answers_is_told_too(code: StatusCode, kind: type[ShoalError]) -> None:
    error = to_shoal_error(_below(code, "raw"), address="h:1")
    assert type(error) is kind
    assert "h:1" in str(error)


def test_raising_keeps_the_cause() -> None:
    cause = _below(StatusCode.UNAVAILABLE, "refused")
    with pytest.raises(errors.Unavailable) as caught:
        raise_for(cause, address="h:1")
    assert caught.value.__cause__ is cause


def test_an_error_without_a_status_is_told() -> None:
    assert isinstance(to_shoal_error(grpc.RpcError("odd")), errors.Unavailable)
