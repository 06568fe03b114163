"""What the diagnosis and the metrics say of scheduled backups."""

from manager.backups.schedule_rules import problem
from manager.diagnosis.record_checks import backup_checks
from manager.monitoring.cluster_gauges import backup_families
from manager.store.kinds import BACKUP_SCHEDULE, BACKUP_STATUS
from shoal.api.v1.cluster_pb2 import BackupSchedule, BackupStatus
from shoal.api.v1.diagnosis_pb2 import DiagnosisCheck
from shoal.api.v1.meta_pb2 import Meta
from tests.fakes.planner_world import World

HOUR = 3_600_000
T0 = 1_700_000_000_000
SCHEDULE = BackupSchedule(meta=Meta(id="s1", updated_at_ms=T0), every_ms=HOUR, keep=3)


def world(*, failures: int = 0, succeeded_at_ms: int = T0) -> World:
    made = World()
    made.put(BACKUP_SCHEDULE, "", SCHEDULE)
    status = BackupStatus(
        schedule_id="s1", started_at_ms=T0, ended_at_ms=T0 + 5, failures=failures, succeeded_at_ms=succeeded_at_ms
    )
    made.put(BACKUP_STATUS, "", status)
    return made


def test_without_a_schedule_there_is_nothing_to_say() -> None:
    assert backup_checks(World().tables, T0) == []
    families = backup_families(World().tables)
    assert {each.name: dict(each.values) for each in families if each.values} == {
        "shoal_manager_backup_scheduled": {(): False}
    }
    assert {each.name for each in families} == {each.name for each in backup_families(world().tables)}


def test_a_backup_that_fails_is_a_check_that_fails() -> None:
    (good,) = backup_checks(world().tables, T0 + HOUR)
    assert (good.result, "2023-11-14T22:13:20Z" in good.found) == (DiagnosisCheck.OK, True)
    (bad,) = backup_checks(world(failures=2).tables, T0 + HOUR)
    assert bad.result == DiagnosisCheck.FAILED and bad.action
    (late,) = backup_checks(world().tables, T0 + 3 * HOUR)
    assert late.result == DiagnosisCheck.FAILED


def test_gauges_have_what_an_alert_compares() -> None:
    values = {each.name: each.values[()] for each in backup_families(world(failures=2).tables)}
    assert values == {
        "shoal_manager_backup_scheduled": True,
        "shoal_manager_backup_interval_seconds": 3600,
        "shoal_manager_backup_last_success_timestamp_seconds": T0 / 1000,
        "shoal_manager_backup_deadline_timestamp_seconds": (T0 + 2 * HOUR + 60_000) / 1000,
        "shoal_manager_backup_consecutive_failures": 2,
    }


def test_a_schedule_without_a_success_is_not_one_of_1970() -> None:
    values = {each.name: each.values for each in backup_families(world(succeeded_at_ms=0).tables)}
    assert values["shoal_manager_backup_last_success_timestamp_seconds"] == {}
    assert values["shoal_manager_backup_deadline_timestamp_seconds"][()] == (T0 + 2 * HOUR + 60_000) / 1000


def test_the_status_of_a_former_schedule_counts_for_nothing() -> None:
    known = world(failures=2)
    known.put(BACKUP_SCHEDULE, "", BackupSchedule(meta=Meta(id="s2", updated_at_ms=T0), every_ms=HOUR, keep=3))
    values = {each.name: each.values for each in backup_families(known.tables)}
    assert values["shoal_manager_backup_consecutive_failures"][()] == 0
    assert values["shoal_manager_backup_last_success_timestamp_seconds"] == {}


def test_the_alert_and_the_diagnosis_have_one_deadline() -> None:
    values = {each.name: each.values[()] for each in backup_families(world().tables)}
    deadline = round(values["shoal_manager_backup_deadline_timestamp_seconds"] * 1000)
    assert problem(SCHEDULE, world().tables.backup_status, deadline) == ""
    assert "no scheduled backup was made since" in problem(SCHEDULE, world().tables.backup_status, deadline + 1)
