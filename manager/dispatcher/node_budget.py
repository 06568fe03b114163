"""How much one node may ask of a manager: messages, bytes, records. Pure: the time is passed in, in monotonic seconds.

A node has a burst, for what comes together when many tasks start or a session begins anew, and then a rate. Who is
beyond it is read more slowly, which an agent that means well does not notice: it gathers what waits. Who stays beyond
it is not an agent of ours: its session ends, and for a while it can open none.
"""

from collections.abc import Collection

from shoal.errors import Busy, Exhausted

MESSAGES_A_SECOND = 100.0
MESSAGES_BURST = 1_000
"""An agent sends at most 40 batches of statuses in a second. That it has applied what it was sent is not counted."""

BYTES_A_SECOND = 64 << 10
BYTES_BURST = 4 << 20
"""Of what is told and of what is written for it: 3,000 statuses, 10,000 volumes and a description take 2 MiB."""

RECORDS_A_SECOND = 1.0
RECORDS_BURST = 60
"""Descriptions, conditions and reports of volumes: each is a record in etcd."""

OVER_SECONDS = 10.0
"""A node may be beyond its rate for so long without a pause."""

BARRED_SECONDS = 30.0
_ROOM = 0.05
_FORGOTTEN_NODES = 1_000


class Bucket:
    """Tokens that come at a rate, up to a burst. More may be taken than there are, and are owed then."""

    def __init__(self, rate: float, burst: float, now: float) -> None:
        self._rate = rate
        self._burst = burst
        self._level = burst
        self._at = now

    def take(self, amount: float, now: float) -> None:
        self._level = min(self._burst, self._level + (now - self._at) * self._rate) - amount
        self._at = now

    def has_room(self) -> bool:
        """Whether there was a pause since the last token was taken: a sleep that is late is none."""
        return self._level >= _ROOM * self._burst

    def owed_seconds(self, now: float) -> float:
        """Until nothing is owed."""
        return max(0.0, -self._level / self._rate - (now - self._at))


class NodeBudget:
    """One node's, through all its sessions with this manager."""

    def __init__(self, now: float) -> None:
        self._messages = Bucket(MESSAGES_A_SECOND, MESSAGES_BURST, now)
        self._bytes = Bucket(BYTES_A_SECOND, BYTES_BURST, now)
        self._records = Bucket(RECORDS_A_SECOND, RECORDS_BURST, now)
        self._over_since: float | None = None
        self._barred_until = now

    def opening(self, now: float) -> None:
        """A session is to be opened.

        Raises:
            Busy: the node is beyond its rate; it says when to come back.
        """
        left = max(self._barred_until - now, self._owed(now))
        if left > 0:
            raise Busy(f"this node's sessions ask too much of the manager; none is opened for {left:.0f} s", left)

    def spend(self, size: int, now: float, *, messages: int = 1, records: int = 0) -> float:
        """So many bytes have come, or are to be written; the seconds to wait before they are acted upon.

        Args:
            messages: none where it answers one of ours.
            records: that are written for it.
        Raises:
            Exhausted: the node has been beyond its rate for too long.
        """
        self._messages.take(messages, now)
        self._records.take(records, now)
        self._bytes.take(size, now)
        return self._wait(now)

    def _owed(self, now: float) -> float:
        return max(each.owed_seconds(now) for each in (self._messages, self._bytes, self._records))

    def _wait(self, now: float) -> float:
        owed = self._owed(now)
        if all(each.has_room() for each in (self._messages, self._bytes, self._records)):
            self._over_since = None
        elif owed > 0 and self._over_since is None:
            self._over_since = now
        if self._over_since is not None and now - self._over_since > OVER_SECONDS:
            self._over_since, self._barred_until = None, now + BARRED_SECONDS
            raise Exhausted(
                f"the node sends more than a manager takes ({MESSAGES_A_SECOND:.0f} messages, "
                f"{BYTES_A_SECOND >> 10} KiB and {RECORDS_A_SECOND:.0f} record a second); it is kept out for "
                f"{BARRED_SECONDS:.0f} s: look at its agent, or remove the node"
            )
        return owed


class NodeBudgets:
    """By node id; those of nodes that are no more are dropped in time.

    Args:
        nodes: ids of those that are there; live.
    """

    def __init__(self, nodes: Collection[str]) -> None:
        self._nodes = nodes
        self._budgets: dict[str, NodeBudget] = {}

    def of(self, node_id: str, now: float) -> NodeBudget:
        found = self._budgets.get(node_id)
        if found is None:
            if len(self._budgets) > len(self._nodes) + _FORGOTTEN_NODES:
                self._budgets = {each: budget for each, budget in self._budgets.items() if each in self._nodes}
            found = self._budgets[node_id] = NodeBudget(now)
        return found
