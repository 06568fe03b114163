"""What one node may ask of a manager: bursts pass, floods are slowed, and who goes on is kept out."""

import pytest

from manager.dispatcher.sessions.node_rate_limit import (
    BLOCKED_SECONDS,
    BYTES_BURST,
    BYTES_PER_SECOND,
    EXCEEDED_SECONDS,
    MESSAGES_BURST,
    MESSAGES_PER_SECOND,
    RECORDS_BURST,
    NodeRateLimit,
    NodeRateLimits,
)
from shoal.errors import Busy, Exhausted


def test_bursts_of_an_agent_that_means_well_pass_at_once() -> None:
    budget = NodeRateLimit(0.0)
    assert budget.spend(3_000 * 200, 0.0) == 0  # statuses after a reconnection
    assert budget.spend(900_000, 0.0, records=1) == 0  # ten thousand volumes
    for number in range(40 * 60):  # a minute of as many batches as an outbox sends, while tasks start
        assert budget.spend(800, number / 40) == 0


def test_a_flood_is_slowed_to_the_rate_and_then_kept_out() -> None:
    budget, now, sent = NodeRateLimit(0.0), 0.0, 0
    with pytest.raises(Exhausted, match="100 messages, 64 KiB and 1 record a second"):
        while True:
            now += budget.spend(10, now)
            sent += 1
    assert MESSAGES_BURST + EXCEEDED_SECONDS * MESSAGES_PER_SECOND <= sent <= MESSAGES_BURST + 12 * MESSAGES_PER_SECOND
    with pytest.raises(Busy) as refused:
        budget.check_open(now + 1)
    assert refused.value.retry_after_seconds == pytest.approx(BLOCKED_SECONDS - 1)
    budget.check_open(now + BLOCKED_SECONDS + 1)


def test_what_is_written_for_a_node_is_bounded_whatever_a_message_weighs() -> None:
    budget, now, written = NodeRateLimit(0.0), 0.0, 0
    with pytest.raises(Exhausted):
        while True:
            now += budget.spend(160_000, now, records=1)
            written += 160_000
    assert written <= BYTES_BURST + 12 * BYTES_PER_SECOND + 160_000
    budget, now, records = NodeRateLimit(0.0), 0.0, 0
    with pytest.raises(Exhausted):
        while True:
            now += budget.spend(100, now, records=1)
            records += 1
    assert records <= RECORDS_BURST + 12


def test_answers_are_not_counted_and_a_pause_is_enough() -> None:
    budget = NodeRateLimit(0.0)
    for _ in range(10 * MESSAGES_BURST):
        assert budget.spend(4, 0.0, messages=0) == 0
    for round_ in range(10):  # each is beyond the rate for a while, with pauses between
        now = round_ * 60.0
        for _ in range(MESSAGES_BURST + 500):
            now += budget.spend(10, now)


def test_a_new_session_begins_with_what_the_last_one_left() -> None:
    budget = NodeRateLimit(0.0)
    for _ in range(RECORDS_BURST + 5):
        budget.spend(1_000, 0.0, records=1)
    with pytest.raises(Busy, match="retry in 5 s"):
        budget.check_open(0.0)
    budget.check_open(6.0)


def test_budgets_of_nodes_that_are_gone_are_dropped() -> None:
    nodes = {"n1"}
    budgets = NodeRateLimits(nodes)
    kept = budgets.of("n1", 0.0)
    for number in range(5_000):
        budgets.of(f"x{number}", 0.0)
    assert budgets.of("n1", 0.0) is kept
    assert len(budgets._limits) < 2_000
