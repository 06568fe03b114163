"""When what is told of tasks that wait is written anew: soon when it means something else, else once in a while. Pure.

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
SETTLE_MS = 5_000
"""A task's reason that means something else is told after so long: nodes may come and go."""
AT_ONCE = 100
"""So many tasks of a service are written anew within a second."""

_SINGULAR = {"lacks": "lack", "is": "are", "does": "do", "has": "have"}
_HEAD = "no suitable node: "
_COUNT = re.compile(r"\d+ of \d+ ")


def meaning(reason: str) -> str | frozenset[str]:
    """The same for reasons that differ in numbers of nodes only. See `filters.explain` for the form of a reason."""
    if not reason.startswith(_HEAD):
        return reason
    return frozenset(map(_without_number, reason.removeprefix(_HEAD).split(", ")))


def _without_number(part: str) -> str:
    counted = _COUNT.match(part)
    if counted is None:
        return part
    verb, _, rest = part[counted.end() :].partition(" ")
    return f"{_SINGULAR.get(verb, verb)} {rest}".replace("its ", "their ", 1).replace("a task of", "tasks of")


def renew(status: ServiceStatus, known: ServiceStatus | None, *, now_ms: int) -> int | None:
    """Leave the problems as last told when only numbers differ; when they are to be told, then. Changes `status`."""
    before = list(known.problems) if known is not None else []
    if known is not None and before == list(status.problems):
        status.problems_at_ms = known.problems_at_ms
        return None
    due = known.problems_at_ms + REFRESH_MS if known is not None else now_ms
    if known is None or now_ms >= due or list(map(meaning, before)) != list(map(meaning, status.problems)):
        status.problems_at_ms = now_ms if status.problems else 0
        return None
    status.problems[:] = before
    status.problems_at_ms = known.problems_at_ms
    return due


@dataclass
class Pace:
    """How many of a service's waiting tasks are still written anew in this second."""

    left: int
    now_ms: int

    @staticmethod
    def of(pending: Iterable[Task], now_ms: int) -> "Pace":
        """As far as the tasks' own times tell."""
        return Pace(AT_ONCE - sum(task.reason_at_ms > now_ms - 1_000 for task in pending), now_ms)

    def due(self, task: Task, reason: str) -> int | None:
        """When the task's new reason is to be told; None: now. Milliseconds since the Unix epoch."""
        is_first = not task.reason_at_ms
        wait = REFRESH_MS if meaning(task.reason) == meaning(reason) else SETTLE_MS * (not is_first)
        due = (task.created_at_ms if is_first else task.reason_at_ms) + wait
        if due > self.now_ms:
            return due
        if self.left <= 0:
            return self.now_ms + 1_000
        self.left -= 1
        return None
