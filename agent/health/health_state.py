"""State machine of a container's health. Pure.

    STARTING --success--> HEALTHY
    STARTING, HEALTHY --`retries` consecutive failures--> UNHEALTHY (final)

A failure before the first success counts only after the start period or the first interval, whichever is longer. Until
then, checks are more frequent, so that a container is healthy as soon as it serves. Docker, which waits a whole
interval for its first check, finds a container healthy no earlier, and unhealthy no later.
"""

from dataclasses import dataclass, replace

from shoal.api.v1.container_pb2 import Healthcheck
from shoal.api.v1.task_pb2 import TaskStatus

FIRST_DELAY_MS = 100
"""Before the first check; it doubles with each one until the start interval is reached."""

_MAX_DOUBLINGS = 16


@dataclass(frozen=True)
class HealthState:
    """Health of a container.

    Attributes:
        failures: consecutive failures that count.
        checks: checks made by this process.
    """

    health: TaskStatus.Health.ValueType = TaskStatus.STARTING
    failures: int = 0
    checks: int = 0


def in_start_period(state: HealthState, check: Healthcheck, age_ms: int) -> bool:
    """Whether a failure does not count. `age_ms`: milliseconds since the container started."""
    return state.health == TaskStatus.STARTING and age_ms < max(check.start_period_ms, check.interval_ms)


def after_probe(state: HealthState, check: Healthcheck, *, passed: bool, age_ms: int) -> HealthState:
    """The state after a check that ended at `age_ms`."""
    if state.health == TaskStatus.UNHEALTHY:
        return state
    counted = replace(state, checks=state.checks + 1)
    if passed:
        return replace(counted, health=TaskStatus.HEALTHY, failures=0)
    if in_start_period(state, check, age_ms):
        return counted
    failures = state.failures + 1
    return replace(
        counted, failures=failures, health=TaskStatus.UNHEALTHY if failures >= check.retries else state.health
    )


def next_delay_ms(state: HealthState, check: Healthcheck, age_ms: int) -> int:
    """Milliseconds until the next check."""
    if not in_start_period(state, check, age_ms):
        # An earlier process of the agent may have checked just before it ended; or long before.
        return check.interval_ms if state.checks else min(check.interval_ms, FIRST_DELAY_MS)
    return min(FIRST_DELAY_MS << min(state.checks, _MAX_DOUBLINGS), check.start_interval_ms, check.interval_ms)
