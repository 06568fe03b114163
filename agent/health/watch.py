"""Checks one container again and again, and tells when its health changes."""

import asyncio
from collections.abc import Callable

from agent.health.course import Course, advance, pause_ms
from agent.health.probes import Prober
from shoal.api.v1.container_pb2 import Healthcheck
from shoal.api.v1.task_pb2 import TaskStatus

Tell = Callable[[TaskStatus.Health.ValueType, str], None]
"""Takes the health and the line of the last check."""


async def watch(
    *,
    prober: Prober,
    task_id: str,
    check: Healthcheck,
    address: str,
    health: TaskStatus.Health.ValueType,
    started_ms: int,
    now_ms: Callable[[], int],
    tell: Tell,
) -> None:
    """Check until the container is unhealthy, or cancelled. One check at a time; the pause begins when it has ended.

    Args:
        check: complete.
        health: as it was known; another process of the agent may have checked before.
        started_ms: when the container started. Milliseconds since the Unix epoch.
        tell: called when the health changes, and when checks begin to fail or to pass again: not after each check,
            since every call ends in a write to the cluster's store.
    """
    course = Course(health if health != TaskStatus.NONE else TaskStatus.STARTING)
    told: tuple[TaskStatus.Health.ValueType, bool] | None = None
    while course.health != TaskStatus.UNHEALTHY:
        await asyncio.sleep(pause_ms(course, check, now_ms() - started_ms) / 1000)
        finding = await prober.check(task_id, check, address)
        course = advance(course, check, passed=finding.passed, age_ms=now_ms() - started_ms)
        if told != (course.health, finding.passed):
            told = (course.health, finding.passed)
            tell(course.health, finding.line)
