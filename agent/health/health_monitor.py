"""Probes one container periodically and reports changes of its health."""

import asyncio
from collections.abc import Callable

from agent.health.health_state import HealthState, after_probe, next_delay_ms
from agent.health.probes import HealthProber
from shoal.api.v1.container_pb2 import Healthcheck
from shoal.api.v1.task_pb2 import TaskStatus

MIN_DELAY_MS = 100
"""Between two checks, however short the interval: each takes some milliseconds of the host, not of the container."""

MIN_REPORT_INTERVAL_MS = 5_000
"""Between two reports that checks fail or pass again while the health is unchanged."""

OnHealthChange = Callable[[TaskStatus.Health.ValueType, str], None]
"""Takes the health and the message of the last check."""


async def monitor_health(
    *,
    prober: HealthProber,
    task_id: str,
    check: Healthcheck,
    address: str,
    health: TaskStatus.Health.ValueType,
    started_ms: int,
    now_ms: Callable[[], int],
    on_change: OnHealthChange,
) -> None:
    """Check until the container is unhealthy, or cancelled. One check at a time; the delay begins when it has ended.

    Args:
        check: complete.
        health: the last known health; an earlier process of the agent may have checked before.
        started_ms: when the container started. Milliseconds since the Unix epoch.
        on_change: called when the health changes, and when checks start to fail or to pass again: not after each check,
            since every call leads to a write to the cluster's store.
    """
    state = HealthState(health if health != TaskStatus.NONE else TaskStatus.STARTING)
    reported, age = _LastReport(), _Age(now_ms() - started_ms)
    try:
        while state.health != TaskStatus.UNHEALTHY:
            await asyncio.sleep(max(next_delay_ms(state, check, age.now_ms()), MIN_DELAY_MS) / 1000)
            result = await prober.probe(task_id, check, address)
            state = after_probe(state, check, passed=result.passed, age_ms=age.now_ms())
            if reported.is_due(state.health, result.passed, age.now_ms()):
                on_change(state.health, result.message)
    finally:
        prober.remove(task_id)


class _Age:
    """How long a container has been running. The host's clock is asked once: it may be set meanwhile, as after a boot.

    Args:
        first_ms: by that clock, in milliseconds.
    """

    def __init__(self, first_ms: int) -> None:
        self._clock = asyncio.get_running_loop().time
        self._first_ms = max(0, first_ms)
        self._since = self._clock()

    def now_ms(self) -> int:
        return self._first_ms + round((self._clock() - self._since) * 1000)


class _LastReport:
    """The last report of a container's health."""

    def __init__(self) -> None:
        self._last: tuple[TaskStatus.Health.ValueType, bool] | None = None
        self._at_ms = 0

    def is_due(self, health: TaskStatus.Health.ValueType, passed: bool, now_ms: int) -> bool:
        """Whether a report is due, which then counts as sent."""
        if self._last == (health, passed):
            return False
        same_health = self._last is not None and self._last[0] == health
        if same_health and now_ms - self._at_ms < MIN_REPORT_INTERVAL_MS:
            return False
        self._last, self._at_ms = (health, passed), now_ms
        return True
