"""How many replicas a service should have by what its tasks use. Pure.

As the horizontal autoscaler of Kubernetes does it: the number that brings the mean utilization to the target, the
greatest over all targets, with a tolerance, in bounded steps, with a cooldown after each.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from shoal.api.v1.service_pb2 import Autoscale, AutoscaleStatus

TOLERANCE = 0.1
"""Utilization so near to its target changes nothing: a hysteresis, so that the number does not oscillate."""
UP_COOLDOWN_MS = 30_000
DOWN_COOLDOWN_MS = 300_000
_MIN_STEP = 4


@dataclass(frozen=True)
class Load:
    """What was measured of a service.

    Attributes:
        replicas: the effective number.
        ready: how many of them are ready.
        utilization: by resource ("CPU", "memory"): of each ready task that was measured, its share of what it reserves.
    """

    replicas: int
    ready: int
    utilization: dict[str, Sequence[float]]


def decide_replicas(scale: Autoscale, known: AutoscaleStatus | None, load: Load, *, now_ms: int) -> tuple[int, str]:
    """The new number of replicas, and the reason (empty when nothing changes).

    Args:
        known: as last written; None for a service that was never scaled.
    """
    bounded = _clamp(scale, load.replicas)
    if bounded != load.replicas:
        return bounded, f"{load.replicas} replicas are outside the bounds"
    replicas, why = _highest(scale, load)
    replicas = _clamp(scale, min(replicas, max(2 * load.replicas, load.replicas + _MIN_STEP)))
    rested_ms = _rested_ms(known, now_ms)
    if replicas > load.replicas and rested_ms >= _up(scale):
        return replicas, f"{why}: {load.replicas} to {replicas} replicas"
    # While not all are ready, the measurement says little, and fewer replicas would be too few.
    if replicas < load.replicas and rested_ms >= _down(scale) and load.ready >= load.replicas:
        return replicas, f"{why}: {load.replicas} to {replicas} replicas"
    return load.replicas, ""


def _rested_ms(known: AutoscaleStatus | None, now_ms: int) -> float:
    """Since the last change; a clock that was set back since is not waited for."""
    if known is None or known.changed_at_ms > now_ms + UP_COOLDOWN_MS:
        return math.inf
    return now_ms - known.changed_at_ms


def _highest(scale: Autoscale, load: Load) -> tuple[int, str]:
    found: list[tuple[int, str]] = []
    for resource, percent in (("CPU", scale.cpu_percent), ("memory", scale.memory_percent)):
        shares = load.utilization.get(resource, ())
        if percent and shares:
            mean = sum(shares) / len(shares)
            found.append(
                (
                    _replicas_for(load.replicas, shares, percent / 100),
                    f"{resource} utilization {mean:.0%}, target {percent}%",
                )
            )
    return max(found, default=(load.replicas, ""))


def _replicas_for(replicas: int, shares: Sequence[float], target: float) -> int:
    """What brings the mean to the target. Unmeasured tasks count as idle on the way up, else as on target."""
    total = sum(shares)
    if total > target * replicas * (1 + TOLERANCE):
        return math.ceil(total / target - 1e-9)
    total += target * max(0, replicas - len(shares))
    if total < target * replicas * (1 - TOLERANCE):
        return math.ceil(total / target - 1e-9)
    return replicas


def _clamp(scale: Autoscale, replicas: int) -> int:
    return max(scale.min_replicas, min(scale.max_replicas, replicas))


def _up(scale: Autoscale) -> int:
    return scale.up_cooldown_ms if scale.HasField("up_cooldown_ms") else UP_COOLDOWN_MS


def _down(scale: Autoscale) -> int:
    return scale.down_cooldown_ms if scale.HasField("down_cooldown_ms") else DOWN_COOLDOWN_MS
