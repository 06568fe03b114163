"""When the reasons of pending tasks are rewritten: soon when the meaning changes, later when only counts do. Pure.

The numbers of nodes in a reason change with every task and node of the cluster. A cluster full of waiting tasks must
not be written anew at each of these changes.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from shoal.api.v1.service_pb2 import ServiceStatus
from shoal.api.v1.task_pb2 import Task

REFRESH_MS = 60_000
"""Numbers that have changed are told after so long."""
DEBOUNCE_MS = 5_000
"""A task's reason that means something else is told after so long: nodes may come and go."""
MAX_PER_SECOND = 100
"""So many tasks of a service are written anew within a second."""

_SINGULAR = {"lacks": "lack", "is": "are", "does": "do", "has": "have", "violates": "violate"}
_PREFIX = "no suitable node: "
_COUNT = re.compile(r"\d+ of \d+ ")


def without_counts(reason: str) -> str | frozenset[str]:
    """The same for reasons that differ in numbers of nodes only. See `node_filters.explain` for the form of a reason."""
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
    """Leave the problems as last told when only numbers differ; when they are to be told, then. Changes `status`."""
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
    """How many of a service's waiting tasks are still written anew in this second."""

    left: int
    now_ms: int

    @staticmethod
    def of(pending: Iterable[Task], now_ms: int) -> "ReasonRateLimit":
        """As far as the tasks' own times tell."""
        return ReasonRateLimit(MAX_PER_SECOND - sum(task.reason_at_ms > now_ms - 1_000 for task in pending), now_ms)

    def due(self, task: Task, reason: str) -> int | None:
        """When the task's new reason is to be told; None: now. Milliseconds since the Unix epoch."""
        is_first = not task.reason_at_ms
        wait = REFRESH_MS if without_counts(task.reason) == without_counts(reason) else DEBOUNCE_MS * (not is_first)
        due = (task.created_at_ms if is_first else task.reason_at_ms) + wait
        if due > self.now_ms:
            return due
        if self.left <= 0:
            return self.now_ms + 1_000
        self.left -= 1
        return None
