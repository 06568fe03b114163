"""Sessions that are opened at once: a bound, and a moment for each that is sent away."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from manager.dispatcher.sessions.session_openings import (
    MAX_OPENINGS,
    MAX_RETRY_SECONDS,
    OPENING_SECONDS,
    RETRIES_PER_SECOND,
    SessionOpenings,
)
from shoal.errors import Busy


def busy_for(handshakes: SessionOpenings, node_id: str, now: float) -> float:
    """Seconds that a node is told to wait, 0 when it may begin."""
    try:
        handshakes.begin(node_id, now)
    except Busy as error:
        return error.retry_after_seconds
    return 0.0


def test_of_thousands_that_come_at_once_each_is_given_a_moment_of_its_own() -> None:
    handshakes = SessionOpenings()
    waits = [busy_for(handshakes, f"n{number}", 100.0) for number in range(3000)]
    assert waits[:MAX_OPENINGS] == [0.0] * MAX_OPENINGS
    later = waits[MAX_OPENINGS:]
    assert later == sorted(set(later)), "none the same as another"
    assert later[-1] == pytest.approx(len(later) / RETRIES_PER_SECOND)
    assert max(busy_for(handshakes, f"m{number}", 100.0) for number in range(9000)) <= MAX_RETRY_SECONDS


def test_who_has_ended_makes_room_and_who_hangs_does_so_after_a_while() -> None:
    handshakes = SessionOpenings()
    for number in range(MAX_OPENINGS):
        handshakes.begin(f"n{number}", 0.0)
    assert busy_for(handshakes, "late", 1.0) > 0
    assert busy_for(handshakes, "n7", 1.0) == 0, "one that begins anew is no further one"
    handshakes.end("n0")
    assert busy_for(handshakes, "late", 1.0) == 0
    assert busy_for(handshakes, "later", 1.0 + OPENING_SECONDS) == 0


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 200)), max_size=300))
def test_never_more_than_the_bound(steps: list[tuple[bool, int]]) -> None:
    handshakes, open_now = SessionOpenings(), set[str]()
    for begins, number in steps:
        node_id = f"n{number}"
        if not begins:
            handshakes.end(node_id)
            open_now.discard(node_id)
        elif busy_for(handshakes, node_id, 1.0) == 0:
            open_now.add(node_id)
        assert len(open_now) <= MAX_OPENINGS
