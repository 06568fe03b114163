"""When the next scheduled backup is due, what is wrong with the last ones, and which are deleted. Pure."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from shoal.api.v1.cluster_pb2 import BackupSchedule, BackupStatus, BackupTarget, StoredBackup
from shoal.errors import Fault
from shoal.utc_text import utc_text

MIN_EVERY_MS = 60_000
MAX_EVERY_MS = 366 * 24 * 3_600_000
MAX_KEEP = 1000
RETRY_MS = 60_000
MAX_RETRY_MS = 30 * 60_000
S3_SCHEME = "s3://"

_TIME = "%Y%m%dT%H%M%SZ"
_NAME = re.compile(r"shoal-([0-9a-z]+)-([0-9a-z]+)-(\d{8}T\d{6}Z)\.backup")
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")


@dataclass(frozen=True)
class StoredName:
    """The name of a scheduled backup: of which cluster and schedule it is, and from when."""

    cluster: str
    schedule: str
    time: str

    def __str__(self) -> str:
        return f"shoal-{self.cluster}-{self.schedule}-{self.time}.backup"


def stored_name(cluster: str, schedule: str, created_at_ms: int) -> StoredName:
    """The name of a backup that is made now."""
    return StoredName(cluster, schedule, datetime.fromtimestamp(created_at_ms / 1000, UTC).strftime(_TIME))


def next_run_ms(schedule: BackupSchedule, status: BackupStatus | None, now_ms: int) -> int:
    """When the next backup is due, milliseconds since the Unix epoch; 0: it never ran, or a clock was set back since.

    What was missed is made up for by one backup. A failed attempt is repeated after a minute, then ever later, up to
    half an hour; so is one whose end is not known, since its manager was lost.

    Args:
        now_ms: times that are later by more than clocks of managers differ are of a clock that was set back.
    """
    latest_ms = now_ms + RETRY_MS
    if status is None or status.schedule_id != schedule.meta.id:
        return 0
    if max(status.started_at_ms, status.ended_at_ms) > latest_ms:
        return 0
    if latest_ms >= schedule.meta.updated_at_ms > status.started_at_ms:
        return schedule.meta.updated_at_ms
    if not status.ended_at_ms:
        return status.started_at_ms + min(RETRY_MS, schedule.every_ms)
    if status.failures:
        delay = min(RETRY_MS << min(status.failures - 1, 10), MAX_RETRY_MS, schedule.every_ms)
        return status.ended_at_ms + delay
    return status.started_at_ms + schedule.every_ms


def problem(schedule: BackupSchedule | None, status: BackupStatus | None, now_ms: int) -> str:
    """What an operator should do something about; empty: nothing."""
    if schedule is None:
        return ""
    own = own_status(schedule, status)
    last = f"the last successful one is of {utc_text(own.succeeded_at_ms)}" if own.succeeded_at_ms else "none has been"
    if own.failures:
        return f"the scheduled backup failed at {utc_text(own.failed_at_ms)}: {own.problem}; {last}"
    if now_ms > deadline_ms(schedule, own):
        since = own.succeeded_at_ms or schedule.meta.updated_at_ms
        return f"no scheduled backup was made since {utc_text(since)}; is there a manager that leads?"
    return ""


def own_status(schedule: BackupSchedule, status: BackupStatus | None) -> BackupStatus:
    """The status if it is this schedule's; else one of a schedule that never ran."""
    return status if status is not None and status.schedule_id == schedule.meta.id else BackupStatus()


def deadline_ms(schedule: BackupSchedule, own: BackupStatus) -> int:
    """When a schedule without another success counts as overdue, milliseconds since the Unix epoch."""
    return (own.succeeded_at_ms or schedule.meta.updated_at_ms) + 2 * schedule.every_ms + RETRY_MS


def expired(names: Iterable[str], made: StoredName, *, keep: int) -> list[str]:
    """The names to delete: all but the one that was just made and the newest others of its schedule. Other files are
    never among them."""
    others = (each for each in names if _is_of(each, made.cluster, made.schedule) and each != str(made))
    return sorted(others, reverse=True)[keep - 1 :]


def unlisted(names: Iterable[str], status: BackupStatus, made: StoredName) -> list[str]:
    """Those of the schedule's backups that the status does not list: their managers ended, or failed, after they had
    stored them. The newest first."""
    listed = {str(made), *(each.name for each in status.backups)}
    return sorted(each for each in names if _is_of(each, made.cluster, made.schedule) and each not in listed)[::-1]


def kept_backups(
    status: BackupStatus, made: StoredBackup, *, present: Sequence[str], shared: bool, keep: int
) -> list[StoredBackup]:
    """The list of stored backups after one was made, the newest first.

    Args:
        present: the names in the target, as this manager sees it, after the deletions.
        shared: every manager sees the same target; else each has a directory of its own.
    """
    found = set(present)
    visible = [each for each in status.backups if shared or each.manager_id == made.manager_id]
    gone = {each.name for each in visible if each.name not in found}
    return [made, *(each for each in status.backups if each.name not in gone and each.name != made.name)][:keep]


def target_faults(target: BackupTarget) -> list[Fault]:
    """What is wrong with a target."""
    if not target.address.startswith(S3_SCHEME):
        options = (target.endpoint, target.region, target.ca_certificate, target.access_key_id)
        faults = (
            [] if target.address.startswith("/") else [Fault("to", "must be an absolute path or s3://bucket/prefix")]
        )
        return [*faults, *([Fault("to", "options of S3 need an address s3://bucket/prefix")] if any(options) else [])]
    bucket = target.address.removeprefix(S3_SCHEME).partition("/")[0]
    faults = [] if _BUCKET.fullmatch(bucket) else [Fault("to", f'"{bucket}" is not the name of a bucket')]
    if target.endpoint and not target.endpoint.startswith(("http://", "https://")):
        faults.append(Fault("endpoint", "must be a URL, https://HOST:PORT"))
    return faults


def schedule_faults(schedule: BackupSchedule) -> list[Fault]:
    """What is wrong with a schedule."""
    faults = target_faults(schedule.target)
    if not MIN_EVERY_MS <= schedule.every_ms <= MAX_EVERY_MS:
        faults.append(Fault("every", "must be between 1m and 366d"))
    if not 1 <= schedule.keep <= MAX_KEEP:
        faults.append(Fault("keep", f"must be between 1 and {MAX_KEEP}"))
    return faults


def _is_of(name: str, cluster: str, schedule: str) -> bool:
    found = _NAME.fullmatch(name)
    return found is not None and found.groups()[:2] == (cluster, schedule)
