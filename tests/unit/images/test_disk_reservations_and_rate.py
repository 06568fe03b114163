"""Room for downloads, and how fast they have to be."""

from pathlib import Path

import pytest

from agent.images.disk_reservations import DiskReservations
from agent.images.transfer_rate import TransferRate
from shoal.distribution.retry_policy import RetryPolicy
from shoal.errors import Exhausted

GIGABYTE = 1 << 30


def test_what_is_promised_to_one_is_not_free_for_another(tmp_path: Path) -> None:
    room = DiskReservations(tmp_path, 0)
    with room.reserve(GIGABYTE), pytest.raises(Exhausted, match=r"[0-9.]+ MB of it reserved for other downloads"):
        room.require(1 << 60)
    with pytest.raises(Exhausted, match="not enough disk space"):
        room.require(1 << 70)
    now = [0.0]
    full = DiskReservations(tmp_path, 1 << 62, clock=lambda: now[0])
    lacking = [full.lacks_space]
    with pytest.raises(Exhausted, match="not enough disk space"):
        full.require(1)
    lacking.append(full.lacks_space)
    now[0] = 601.0
    assert [*lacking, full.lacks_space] == [False, True, False], "who asked has gone at last"


def test_a_claim_is_given_back_as_it_is_used(tmp_path: Path) -> None:
    room = DiskReservations(tmp_path, 0)
    with room.reserve(GIGABYTE) as claim:
        claim.record_written(GIGABYTE - 10)
        assert claim.remaining == 10
        claim.record_written(100)
        assert claim.remaining == 0
    with DiskReservations(tmp_path, 0).reserve(0) as none:
        assert none.remaining == 0
    reserved = DiskReservations(tmp_path, 1 << 62)
    with pytest.raises(Exhausted, match="free space in the image store is below"), room.reserve(1) as claim:
        reserved.record_written(claim, 1)


def test_pace_counts_what_is_waited_for() -> None:
    now = [0.0]
    policy = RetryPolicy(pace_seconds=10.0, min_bytes_per_second=100)
    pace = TransferRate(policy, lambda: now[0])

    def came(waited: float, count: int, away: float = 0.0) -> bool:
        pace.start_waiting()
        now[0] += waited
        found = pace.is_fast_enough(count)
        now[0] += away
        return found

    assert all(came(1.0, 100) for _ in range(30))
    assert all(came(0.1, 1, away=100.0) for _ in range(90)), "the disk took the time"
    assert not all(came(1.0, 50) for _ in range(10))
    assert came(9.0, 0) and not came(9.0, 100)


@pytest.mark.parametrize(("size", "seconds"), [(0, 600.0), (32 << 10, 601.0), (10**400, 600.0 + (1 << 45))])
def test_the_deadline_of_a_layer(size: int, seconds: float) -> None:
    assert RetryPolicy().layer_deadline(size) == seconds
