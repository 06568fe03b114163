"""The course of a container's health, from one check to the next: a pure state machine.

    STARTING --a success--> HEALTHY
    STARTING, HEALTHY --as many failures in a row as `retries`--> UNHEALTHY, which is the end

A failure before the first success counts only after the grace: the start period or the first interval, whichever is
longer. In the grace checks are made more often, so that a container is ready as soon as it serves; Docker, which waits
a whole interval for its first check, finds none unhealthy later than this does, and none ready earlier.
"""

from dataclasses import dataclass, replace

from shoal.api.v1.container_pb2 import Healthcheck
from shoal.api.v1.task_pb2 import TaskStatus

FIRST_PAUSE_MS = 100
"""Before the first check; it doubles with each one until the start interval is reached."""

_MOST_DOUBLINGS = 16


@dataclass(frozen=True)
class Course:
    """Where a container's health stands.

    Attributes:
        failures: in a row, those that count.
        checks: made by this process.
    """

    health: TaskStatus.Health.ValueType = TaskStatus.STARTING
    failures: int = 0
    checks: int = 0


def in_grace(course: Course, check: Healthcheck, age_ms: int) -> bool:
    """Whether a failure does not count. `age_ms`: milliseconds since the container started."""
    return course.health == TaskStatus.STARTING and age_ms < max(check.start_period_ms, check.interval_ms)


def advance(course: Course, check: Healthcheck, *, passed: bool, age_ms: int) -> Course:
    """The course after a check that ended at `age_ms`."""
    if course.health == TaskStatus.UNHEALTHY:
        return course
    counted = replace(course, checks=course.checks + 1)
    if passed:
        return replace(counted, health=TaskStatus.HEALTHY, failures=0)
    if in_grace(course, check, age_ms):
        return counted
    failures = course.failures + 1
    return replace(
        counted, failures=failures, health=TaskStatus.UNHEALTHY if failures >= check.retries else course.health
    )


def pause_ms(course: Course, check: Healthcheck, age_ms: int) -> int:
    """Milliseconds until the next check."""
    if not in_grace(course, check, age_ms):
        # An earlier process of the agent may have checked just before it ended; or long before.
        return check.interval_ms if course.checks else min(check.interval_ms, FIRST_PAUSE_MS)
    return min(FIRST_PAUSE_MS << min(course.checks, _MOST_DOUBLINGS), check.start_interval_ms, check.interval_ms)
