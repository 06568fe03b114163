"""When the reasons of pending tasks are rewritten: soon when the meaning changes, later when only counts do. Pure.

The numbers of nodes in a reason change with every task and node of the cluster, and a cluster full of pending tasks
must not be rewritten at each of these changes.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from manager.planner.spec.problem_texts import NO_SUITABLE_NODE
from shoal.api.v1.service_pb2 import ServiceStatus
from shoal.api.v1.task_pb2 import Task

REFRESH_MS = 60_000
"""How long changed numbers wait."""
DEBOUNCE_MS = 5_000
"""How long a task's reason with another meaning waits: nodes may come and go."""
MAX_PER_SECOND = 100
"""How many tasks of a service are rewritten within a second."""

_SINGULAR = {"lacks": "lack", "is": "are", "does": "do", "has": "have", "violates": "violate"}
_PREFIX = f"{NO_SUITABLE_NODE}: "
_COUNT = re.compile(r"\d+ of \d+ ")


def without_counts(reason: str) -> str | frozenset[str]:
    """Equal for reasons that differ in numbers of nodes only; for their form see `node_filters.explain`."""
    if not reason.startswith(_PREFIX):
        return reason
    return frozenset(map(_plural_form, reason.removeprefix(_PREFIX).split(", ")))


def _plural_form(part: str) -> str:
    counted = _COUNT.match(part)
    if counted is None:
        return part
    verb, _, rest = part[counted.end() :].partition(" ")
    return f"{_SINGULAR.get(verb, verb)} {rest}".replace("its ", "their ", 1)


def debounce_problems(status: ServiceStatus, known: ServiceStatus | None, *, now_ms: int) -> int | None:
    """Keep the written problems while only numbers differ; when to write the new ones. Changes `status`."""
    before = list(known.problems) if known is not None else []
    if known is not None and before == list(status.problems):
        status.problems_at_ms = known.problems_at_ms
        return None
    due = known.problems_at_ms + REFRESH_MS if known is not None else now_ms
    if (
        known is None
        or now_ms >= due
        or list(map(without_counts, before)) != list(map(without_counts, status.problems))
    ):
        status.problems_at_ms = now_ms if status.problems else 0
        return None
    status.problems[:] = before
    status.problems_at_ms = known.problems_at_ms
    return due


@dataclass
class ReasonRateLimit:
    """How many pending tasks of a service may still be rewritten in this second."""

    left: int
    now_ms: int

    @staticmethod
    def of(pending: Iterable[Task], now_ms: int) -> "ReasonRateLimit":
        """By the times at which the tasks' reasons were written."""
        return ReasonRateLimit(MAX_PER_SECOND - sum(task.reason_at_ms > now_ms - 1_000 for task in pending), now_ms)

    def due(self, task: Task, reason: str) -> int | None:
        """When to write the task's new reason; None: now. Milliseconds since the Unix epoch."""
        is_first = not task.reason_at_ms
        wait = REFRESH_MS if without_counts(task.reason) == without_counts(reason) else DEBOUNCE_MS * (not is_first)
        due = (task.created_at_ms if is_first else task.reason_at_ms) + wait
        if due > self.now_ms:
            return due
        if self.left <= 0:
            return self.now_ms + 1_000
        self.left -= 1
        return None
