"""When a cron expression is due. Five fields as in crontab(5), by the clock of a time zone.

At a change of daylight saving time it does what Debian's cron does: times in the hour that is skipped are due at its
end, and times in the hour that is repeated are due once.
"""

from datetime import UTC, datetime, tzinfo
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from shoal.errors import InvalidInput

_FIELDS = "minute, hour, day of month, month, day of week"


def check_cron(cron: str) -> None:
    """Raises InvalidInput when it is not an expression of five fields, or is never due."""
    if len(cron.split()) != 5:
        raise InvalidInput(f'cron expression "{cron[:80]}" must have five fields: {_FIELDS}')
    try:
        found = next(CronSim(cron, datetime(2000, 1, 1, tzinfo=UTC)), None)
    except CronSimError as error:
        raise InvalidInput(f'invalid cron expression "{cron[:80]}": {str(error).lower()}') from error
    if found is None:
        raise InvalidInput(f'cron expression "{cron[:80]}" never matches a date')


def check_zone(name: str) -> None:
    """Raises InvalidInput when the time zone is not known; empty means UTC."""
    try:
        _zone(name)
    except (ValueError, OSError) as error:  # a path out of the database, or a directory
        raise InvalidInput(f'unknown time zone "{name[:80]}"; use a name such as Europe/Berlin') from error
    except KeyError as error:
        raise InvalidInput(f'unknown time zone "{name[:80]}"; use a name such as Europe/Berlin') from error


def next_due_ms(cron: str, zone: str, after_ms: int) -> int | None:
    """The first due time after that time, or None when there is none in sight. Milliseconds since the Unix epoch."""
    # From within a repeated hour, times of its first occurrence seem to be still to come.
    times = map(_milliseconds, CronSim(cron, _moment(after_ms, zone)))
    found = next((each for each in times if each > after_ms), None)
    # Forwards, cronsim skips half an hour where clocks go back by as much (Lord Howe); backwards it does not.
    while found is not None and (earlier := _last_before_ms(cron, zone, found)) is not None and earlier > after_ms:
        found = earlier
    return found


def last_due_ms(cron: str, zone: str, until_ms: int) -> int | None:
    """The last due time up to that time, itself included."""
    found = _last_before_ms(cron, zone, until_ms // 1000 * 1000 + 1000)
    # Backwards from within a repeated hour, times of its first occurrence are skipped.
    while found is not None and (later := next_due_ms(cron, zone, found)) is not None and later <= until_ms:
        found = later
    return found


def _last_before_ms(cron: str, zone: str, before_ms: int) -> int | None:
    times = map(_milliseconds, CronSim(cron, _moment(before_ms, zone), reverse=True))
    return next((each for each in times if each < before_ms), None)


def _milliseconds(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)


def _moment(at_ms: int, zone: str) -> datetime:
    return datetime.fromtimestamp(at_ms / 1000, _zone(zone))


def _zone(name: str) -> tzinfo:
    return ZoneInfo(name) if name else UTC
