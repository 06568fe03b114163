"""Limits of sessions in a container and on the node."""

from collections import Counter
from collections.abc import Callable

from shoal.errors import Exhausted


class SessionLimits:
    """Counts open sessions of one kind.

    Args:
        plural: what the sessions are called, in the plural, for the user.
    """

    def __init__(self, *, per_container: int, per_node: int, plural: str) -> None:
        self._per_container = per_container
        self._per_node = per_node
        self._plural = plural
        self._open: Counter[str] = Counter()

    def open(self, task_id: str) -> Callable[[], None]:
        """Count a session; returns the function that closes it, to be called once.

        Raises:
            Exhausted: too many are open.
        """
        if (count := self._open[task_id]) >= self._per_container:
            raise Exhausted(f"too many {self._plural} in this container ({count}); end one first")
        if (count := self._open.total()) >= self._per_node:
            raise Exhausted(f"too many {self._plural} on this node ({count}); end one first")
        self._open[task_id] += 1
        return lambda: self._close(task_id)

    def _close(self, task_id: str) -> None:
        self._open -= Counter({task_id: 1})  # drops names with a count of zero
