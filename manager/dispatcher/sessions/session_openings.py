"""Limits how many sessions are opened at once; further agents are told when to retry. Pure.

An agent waits 5 s for the response to its Hello. A manager that opened thousands at once would respond later than that
to all of them, and all the work would be lost.
"""

from manager.dispatcher.liveness.heartbeats import NODES_PER_SECOND
from shoal.errors import Busy

MAX_OPENINGS = 50
RETRIES_PER_SECOND = 2 * NODES_PER_SECOND
"""The rate of retries that agents are given: twice the rate that the grace period assumes."""
OPENING_SECONDS = 5.0
"""After that an opening no longer counts: an agent that does not read delays no other."""
MAX_RETRY_SECONDS = 30.0


class SessionOpenings:
    """Sessions between Hello and the first assignments. Times are seconds of one monotonic clock."""

    def __init__(self) -> None:
        self._opening: dict[str, float] = {}
        self._next = 0.0

    def begin(self, node_id: str, now: float) -> None:
        """A node opens its session.

        Raises:
            Busy: too many do; each agent gets a different time to retry.
        """
        if node_id not in self._opening and len(self._opening) >= MAX_OPENINGS:
            self._drop_old(now)
        if node_id not in self._opening and len(self._opening) >= MAX_OPENINGS:
            self._next = min(max(self._next, now) + 1 / RETRIES_PER_SECOND, now + MAX_RETRY_SECONDS)
            raise Busy("too many agents are connecting; retry later", self._next - now)
        self._opening[node_id] = now

    def end(self, node_id: str) -> None:
        """The session is open, or failed to open."""
        self._opening.pop(node_id, None)

    def _drop_old(self, now: float) -> None:
        self._opening = {node_id: at for node_id, at in self._opening.items() if now - at < OPENING_SECONDS}
