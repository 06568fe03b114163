"""When scheduled backups are due, what is reported of them, and which files are deleted."""

from hypothesis import given
from hypothesis import strategies as st

from manager.backups.schedule_rules import (
    MAX_RETRY_MS,
    RETRY_MS,
    expired,
    kept_backups,
    next_run_ms,
    problem,
    schedule_faults,
    stored_name,
    unlisted,
)
from shoal.api.v1.cluster_pb2 import BackupSchedule, BackupStatus, BackupTarget, StoredBackup
from shoal.api.v1.meta_pb2 import Meta

HOUR = 3_600_000
T0 = 1_700_000_000_000
LATER = T0 + 60 * HOUR


def schedule(every_ms: int = 6 * HOUR, updated_at_ms: int = T0) -> BackupSchedule:
    meta = Meta(id="s1", created_at_ms=T0, updated_at_ms=updated_at_ms)
    return BackupSchedule(meta=meta, every_ms=every_ms, keep=3, target=BackupTarget(address="/b"))


def status(started: int, ended: int, *, failures: int = 0, succeeded: int = 0) -> BackupStatus:
    return BackupStatus(
        schedule_id="s1", started_at_ms=started, ended_at_ms=ended, failures=failures, succeeded_at_ms=succeeded
    )


def test_the_first_backup_is_due_at_once_and_the_next_after_the_period() -> None:
    assert next_run_ms(schedule(), None, LATER) == 0
    assert next_run_ms(schedule(), BackupStatus(schedule_id="another", started_at_ms=T0), LATER) == 0
    assert next_run_ms(schedule(), status(T0, T0 + 5), LATER) == T0 + 6 * HOUR


def test_a_changed_schedule_is_tried_at_once() -> None:
    assert next_run_ms(schedule(updated_at_ms=T0 + 9), status(T0, T0 + 5), LATER) == T0 + 9


def test_what_was_missed_is_made_up_for_once() -> None:
    late = T0 + 30 * HOUR
    assert next_run_ms(schedule(), status(T0, T0 + 5), LATER) < late
    assert next_run_ms(schedule(), status(late, late + 5), LATER) == late + 6 * HOUR


def test_times_of_a_clock_that_was_set_back_delay_nothing() -> None:
    year = 365 * 24 * HOUR
    ahead = status(T0 + year, T0 + year + 5, succeeded=T0 + year + 5)
    assert next_run_ms(schedule(updated_at_ms=T0 + year - 1), ahead, T0) == 0
    assert next_run_ms(schedule(updated_at_ms=T0 + year - 1), status(T0, T0 + 5), T0 + 5) == T0 + 6 * HOUR
    assert next_run_ms(schedule(), status(T0 + 3_000, T0 + 4_000), T0) == T0 + 3_000 + 6 * HOUR


def test_an_attempt_without_an_end_is_repeated_after_a_minute() -> None:
    assert next_run_ms(schedule(), status(T0, 0), LATER) == T0 + RETRY_MS


@given(st.integers(1, 1000))
def test_failures_are_retried_ever_later_but_never_later_than_the_period(failures: int) -> None:
    delay = next_run_ms(schedule(), status(T0, T0 + 5, failures=failures), LATER) - (T0 + 5)
    assert RETRY_MS <= delay <= MAX_RETRY_MS
    assert failures > 1 or delay == RETRY_MS
    assert next_run_ms(schedule(every_ms=RETRY_MS), status(T0, T0 + 5, failures=failures), LATER) == T0 + 5 + RETRY_MS


def test_problems_name_the_failure_and_the_last_success() -> None:
    assert problem(None, None, T0) == ""
    assert problem(schedule(), None, T0 + HOUR) == ""
    failed = status(T0, T0 + 5, failures=2, succeeded=T0 - HOUR)
    failed.problem, failed.failed_at_ms = "/b: No such file or directory", T0 + 5
    found = problem(schedule(), failed, T0 + 6)
    assert "No such file" in found and "2023-11-14T21:13:20Z" in found
    assert "none has been" in problem(schedule(), status(T0, T0 + 5, failures=1), T0 + 6)


def test_a_schedule_that_does_not_run_is_a_problem() -> None:
    good = status(T0, T0 + 5, succeeded=T0 + 5)
    assert problem(schedule(), good, T0 + 11 * HOUR) == ""
    assert "no scheduled backup was made since" in problem(schedule(), good, T0 + 13 * HOUR)
    assert "no scheduled backup was made since" in problem(schedule(), None, T0 + 13 * HOUR)


OWN = [str(stored_name("c1", "s1", T0 + number * HOUR)) for number in range(5)]
MADE = stored_name("c1", "s1", T0 + 4 * HOUR)
FOREIGN = [
    str(stored_name("c2", "s1", T0)),
    str(stored_name("c1", "s2", T0)),
    "shoal.backup",
    "shoal-c1-s1-notes.txt",
    OWN[0] + ".old",
    "x" + OWN[0],
    OWN[0].upper(),
]


@given(st.permutations([*OWN, *FOREIGN]), st.integers(1, 7))
def test_only_this_schedules_oldest_are_deleted(names: list[str], keep: int) -> None:
    assert sorted(expired(names, MADE, keep=keep)) == OWN[: max(0, 5 - keep)]


def test_what_was_just_made_stays_also_after_the_clock_was_set_back() -> None:
    made = stored_name("c1", "s1", T0 - 24 * HOUR)
    assert expired([*OWN, str(made)], made, keep=1) == OWN[::-1]
    assert expired([*OWN, str(made)], made, keep=2) == OWN[3::-1]


def test_names_sort_by_time() -> None:
    assert OWN[0] == "shoal-c1-s1-20231114T221320Z.backup"
    assert sorted(OWN, reverse=True) == OWN[::-1]


def test_the_list_has_what_is_there_as_far_as_it_is_seen() -> None:
    known = BackupStatus(backups=[StoredBackup(name=f"n{number}", manager_id=f"m{number % 2}") for number in range(4)])
    made = StoredBackup(name="new", manager_id="m0")
    shared = kept_backups(known, made, present=["new", "n2", "n3"], shared=True, keep=9)
    assert [each.name for each in shared] == ["new", "n2", "n3"]
    own = kept_backups(known, made, present=["new", "n2"], shared=False, keep=9)
    assert [each.name for each in own] == ["new", "n1", "n2", "n3"]
    assert len(kept_backups(known, made, present=["new", "n2"], shared=False, keep=2)) == 2


def test_settings_are_checked() -> None:
    assert schedule_faults(schedule()) == []

    def fields(**change: object) -> list[str]:
        made = schedule()
        target = BackupTarget(address="/b")
        for name, value in change.items():
            setattr(made if name in ("every_ms", "keep") else target, name, value)
        made.target.CopyFrom(target)
        return [each.path for each in schedule_faults(made)]

    assert fields(every_ms=59_999) == fields(every_ms=367 * 24 * HOUR) == ["every"]
    assert fields(keep=0) == fields(keep=1001) == ["keep"]
    assert fields(address="backups") == fields(address="s3:///x") == fields(address="s3://A_B/x") == ["to"]
    assert fields(endpoint="https://x") == ["to"]
    assert fields(address="s3://bucket", endpoint="x:9000") == ["endpoint"]
    assert fields(address="s3://bucket/a/b", endpoint="https://[::1]:9000", region="r") == []


def test_what_is_stored_and_not_listed_is_found() -> None:
    made = stored_name("c", "s", 1_700_000_000_000)
    other, older = stored_name("c", "s", 1_700_000_100_000), stored_name("c", "s", 1_600_000_000_000)
    names = [str(each) for each in (made, older, other, stored_name("c", "t", 0))]
    assert unlisted(["file", *names], BackupStatus(), made) == [str(other), str(older)]
    status = BackupStatus(backups=[StoredBackup(name=str(older))])
    assert unlisted(names, status, made) == [str(other)]
