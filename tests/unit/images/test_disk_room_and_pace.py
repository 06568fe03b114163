"""Room for downloads, and how fast they have to be."""

from pathlib import Path

import pytest

from agent.images.disk_room import DiskRoom
from agent.images.pace import Pace
from shoal.distribution.retrying import RetryPolicy
from shoal.errors import Exhausted

GIGABYTE = 1 << 30


def test_what_is_promised_to_one_is_not_free_for_another(tmp_path: Path) -> None:
    room = DiskRoom(tmp_path, 0)
    with room.claim(GIGABYTE), pytest.raises(Exhausted, match=r"[0-9.]+ MB of those are for other downloads"):
        room.need(1 << 60)
    with pytest.raises(Exhausted, match="too full"):
        room.need(1 << 70)
    now = [0.0]
    full = DiskRoom(tmp_path, 1 << 62, clock=lambda: now[0])
    lacking = [full.lacking]
    with pytest.raises(Exhausted, match="too full"):
        full.need(1)
    lacking.append(full.lacking)
    now[0] = 601.0
    assert [*lacking, full.lacking] == [False, True, False], "who asked has gone at last"


def test_a_claim_is_given_back_as_it_is_used(tmp_path: Path) -> None:
    room = DiskRoom(tmp_path, 0)
    with room.claim(GIGABYTE) as claim:
        claim.used(GIGABYTE - 10)
        assert claim.left == 10
        claim.used(100)
        assert claim.left == 0
    with DiskRoom(tmp_path, 0).claim(0) as none:
        assert none.left == 0
    reserved = DiskRoom(tmp_path, 1 << 62)
    with pytest.raises(Exhausted, match="are free on the disk"), room.claim(1) as claim:
        reserved.used(claim, 1)


def test_pace_counts_what_is_waited_for() -> None:
    now = [0.0]
    policy = RetryPolicy(pace_seconds=10.0, least_bytes_per_second=100)
    pace = Pace(policy, lambda: now[0])

    def came(waited: float, count: int, away: float = 0.0) -> bool:
        pace.wait()
        now[0] += waited
        found = pace.keeps_up(count)
        now[0] += away
        return found

    assert all(came(1.0, 100) for _ in range(30))
    assert all(came(0.1, 1, away=100.0) for _ in range(90)), "the disk took the time"
    assert not all(came(1.0, 50) for _ in range(10))
    assert came(9.0, 0) and not came(9.0, 100)


@pytest.mark.parametrize(("size", "seconds"), [(0, 600.0), (32 << 10, 601.0), (10**400, 600.0 + (1 << 45))])
def test_the_deadline_of_a_layer(size: int, seconds: float) -> None:
    assert RetryPolicy().layer_deadline(size) == seconds
