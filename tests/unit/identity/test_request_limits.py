"""How much one call may bring: bytes and entries by method, calls at once by node."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.api.v1.dispatcher_pb2 import AgentMessage, StatusBatch
from shoal.api.v1.task_pb2 import StateChange, TaskStatus
from shoal.errors import Exhausted
from shoal.identity.roles import CertificateSubject, Role
from shoal.rpc.message_counting import EntryCounter
from shoal.rpc.request_limits import (
    AGENT_CALLS,
    MAX_SESSION_ENTRIES,
    REQUEST_BYTES,
    CallLimiter,
    OversizedMessage,
    check_size,
    request_deserializer,
)

SESSION = "/shoal.api.v1.Dispatcher/Session"


PARTS = EntryCounter(AgentMessage.DESCRIPTOR)


def field(number: int, body: bytes) -> bytes:
    """A length-delimited field as it is on the wire."""
    encoded, length = bytearray(), len(body)
    for value in (number << 3 | 2, length):
        while value > 0x7F:
            encoded.append(value & 0x7F | 0x80)
            value >>= 7
        encoded.append(value)
    return bytes(encoded) + body


@given(st.lists(st.text(max_size=20), max_size=50), st.integers(0, 1 << 40), st.integers(0, 3))
def test_entries_are_counted_as_a_parser_finds_them(names: list[str], sequence: int, steps: int) -> None:
    path = [StateChange(at_ms=sequence)] * steps
    statuses = [TaskStatus(task_id=name, at_ms=sequence, state_history=path) for name in names]
    batch = AgentMessage(statuses=StatusBatch(sequence=sequence, statuses=statuses))
    assert PARTS.count(batch.SerializeToString(), 1000) == 1 + len(names) * (1 + steps)


@given(st.binary(max_size=200))
def test_any_bytes_are_counted_to_an_end(encoded: bytes) -> None:
    assert 0 <= PARTS.count(encoded, 10) <= 11


def test_counting_ends_soon_after_the_bound() -> None:
    many = AgentMessage(statuses=StatusBatch(statuses=[TaskStatus()] * 70_000)).SerializeToString()
    assert PARTS.count(many, 7) == 8
    assert isinstance(request_deserializer(SESSION, AgentMessage.FromString)(many), OversizedMessage)


GROUP = bytes([4 << 3 | 3, 4 << 3 | 4])
GENERIC = field(4, b"") * 200_000


@pytest.mark.parametrize(
    "many",
    [
        pytest.param(field(3, GROUP + field(2, b"") * 200_000), id="after a group"),
        pytest.param(field(3, field(2, b"")) * 150_000, id="a message in many pieces"),
        pytest.param(field(1, field(1, field(3, GENERIC))), id="deep within"),
        pytest.param(field(3, field(2, field(30, b"") * 200_000)), id="within one entry"),
    ],
)
def test_entries_are_counted_wherever_they_are(many: bytes) -> None:
    assert len(many) < REQUEST_BYTES[SESSION]
    AgentMessage.FromString(many)
    assert isinstance(request_deserializer(SESSION, AgentMessage.FromString)(many), OversizedMessage)


def test_three_thousand_statuses_pass() -> None:
    statuses = [TaskStatus(task_id=f"{number:013}", at_ms=1 << 40, message="x" * 100) for number in range(3_000)]
    reported = AgentMessage(statuses=StatusBatch(sequence=1, statuses=statuses))
    assert len(statuses) < MAX_SESSION_ENTRIES
    assert request_deserializer(SESSION, AgentMessage.FromString)(reported.SerializeToString()) == reported


def test_a_request_beyond_its_methods_bound_is_not_parsed() -> None:
    read = request_deserializer("/shoal.api.v1.CertificateAuthority/Renew", lambda raw: pytest.fail("it was parsed"))
    with pytest.raises(Exhausted, match="65,537 bytes; the maximum is 65,536"):
        check_size(read(bytes(65_537)))


def test_a_nodes_calls_are_counted_and_nobody_elses() -> None:
    calls, node, admin = (
        CallLimiter(),
        CertificateSubject("n1", Role.AGENT, "c"),
        CertificateSubject("root", Role.ADMIN, "c"),
    )
    held = [calls.hold(node) for _ in range(AGENT_CALLS)]
    for each in held:
        each.__enter__()
    with pytest.raises(Exhausted, match="node n1 has reached its limit of 4 concurrent calls"), calls.hold(node):
        pass
    with calls.hold(CertificateSubject("n2", Role.AGENT, "c")), calls.hold(None):
        for _ in range(100):
            calls.hold(admin).__enter__()
    held[0].__exit__(None, None, None)
    with calls.hold(node):
        pass
