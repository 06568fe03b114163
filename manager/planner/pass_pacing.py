"""How long a pass that only task statuses ask for is delayed. Pure: the time is passed in.

Statuses come hundreds of times a second while many tasks start, and the cost of a pass is that of all dirty slots, not
of what changed. So a pass that only statuses ask for waits for more of them, in proportion to what the last pass took:
where passes are cheap the delay is not noticeable, and where they are not they use a bounded share of the processor.
"""

from collections.abc import Iterable

from manager.store import kinds
from manager.store.changes import Change

REST_FACTOR = 3.0
"""The delay after a pass, in units of the time that it took."""
MAX_REST_SECONDS = 0.2


class PassPacing:
    """Delays passes. Times are seconds of one monotonic clock."""

    def __init__(self) -> None:
        self._rested_at = 0.0

    def record_pass(self, began: float, ended: float) -> None:
        """Record that a pass was planned in this time."""
        self._rested_at = ended + min(REST_FACTOR * (ended - began), MAX_REST_SECONDS)

    def remaining(self, now: float) -> float:
        """For how many more seconds a pass that only statuses ask for is delayed."""
        return max(0.0, self._rested_at - now)


def only_task_statuses(changes: Iterable[Change]) -> bool:
    """Whether these changes are task statuses alone."""
    return all(change.kind.name == kinds.TASK_STATUS.name for change in changes)
