"""How many sessions are opened at once: who comes when too many are under way is told when to come back. Pure.

An agent waits 5 s for an answer to its Hello. A manager that took on thousands at once would answer all of them later
than that, and do all the work in vain.
"""

from manager.dispatcher.liveness.heartbeats import NODES_A_SECOND
from shoal.errors import Busy

AT_ONCE = 50
A_SECOND = 2 * NODES_A_SECOND
"""Appointments given: twice the rate that the grace of nodes counts on."""
LONGEST_SECONDS = 5.0
"""After that an opening counts no more: an agent that does not read holds up nobody."""
LAST_SECONDS = 30.0


class Handshakes:
    """From Hello until the first assignments are made. Times are seconds of one monotonic clock."""

    def __init__(self) -> None:
        self._begun: dict[str, float] = {}
        self._next = 0.0

    def begin(self, node_id: str, now: float) -> None:
        """A node opens its session.

        Raises:
            Busy: too many do; each that is told so gets a moment of its own.
        """
        if node_id not in self._begun and len(self._begun) >= AT_ONCE:
            self._drop_old(now)
        if node_id not in self._begun and len(self._begun) >= AT_ONCE:
            self._next = min(max(self._next, now) + 1 / A_SECOND, now + LAST_SECONDS)
            raise Busy("many agents connect at this moment; come back when it is your turn", self._next - now)
        self._begun[node_id] = now

    def end(self, node_id: str) -> None:
        """It is open, or came to nothing."""
        self._begun.pop(node_id, None)

    def _drop_old(self, now: float) -> None:
        self._begun = {node_id: at for node_id, at in self._begun.items() if now - at < LONGEST_SECONDS}
