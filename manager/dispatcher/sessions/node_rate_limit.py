"""Rate limits of a node: messages, bytes and records. Pure: time is passed in as monotonic seconds.

A node has a burst, for what comes together when many tasks start or a session begins anew, and then a rate. Who is
beyond it is read more slowly, which an agent that means well does not notice: it gathers what waits. Who stays beyond
it is not an agent of ours: its session ends, and for a while it can open none.
"""

from collections.abc import Collection

from shoal.errors import Busy, Exhausted

MESSAGES_PER_SECOND = 100.0
MESSAGES_BURST = 1_000
"""An agent sends at most 40 batches of statuses in a second. That it has applied what it was sent is not counted."""

BYTES_PER_SECOND = 64 << 10
BYTES_BURST = 4 << 20
"""Of what is told and of what is written for it: 3,000 statuses, 10,000 volumes and a description take 2 MiB."""

RECORDS_PER_SECOND = 1.0
RECORDS_BURST = 60
"""Descriptions, conditions and reports of volumes: each is a record in etcd."""

EXCEEDED_SECONDS = 10.0
"""A node may be beyond its rate for so long without a pause."""

BLOCKED_SECONDS = 30.0
_SPARE_SHARE = 0.05
_MAX_REMOVED_NODES = 1_000


class TokenBucket:
    """Tokens that come at a rate, up to a burst. More may be taken than there are, and are owed then."""

    def __init__(self, rate: float, burst: float, now: float) -> None:
        self._rate = rate
        self._burst = burst
        self._level = burst
        self._at = now

    def take(self, amount: float, now: float) -> None:
        self._level = min(self._burst, self._level + (now - self._at) * self._rate) - amount
        self._at = now

    def has_spare(self) -> bool:
        """Whether there was a pause since the last token was taken: a sleep that is late is none."""
        return self._level >= _SPARE_SHARE * self._burst

    def debt_seconds(self, now: float) -> float:
        """Until nothing is owed."""
        return max(0.0, -self._level / self._rate - (now - self._at))


class NodeRateLimit:
    """One node's, through all its sessions with this manager."""

    def __init__(self, now: float) -> None:
        self._messages = TokenBucket(MESSAGES_PER_SECOND, MESSAGES_BURST, now)
        self._bytes = TokenBucket(BYTES_PER_SECOND, BYTES_BURST, now)
        self._records = TokenBucket(RECORDS_PER_SECOND, RECORDS_BURST, now)
        self._exceeded_since: float | None = None
        self._blocked_until = now

    def check_open(self, now: float) -> None:
        """A session is to be opened.

        Raises:
            Busy: the node is beyond its rate; it says when to come back.
        """
        left = max(self._blocked_until - now, self._debt(now))
        if left > 0:
            raise Busy(f"this node exceeded its rate limit; retry in {left:.0f} s", left)

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

    def _debt(self, now: float) -> float:
        return max(each.debt_seconds(now) for each in (self._messages, self._bytes, self._records))

    def _wait(self, now: float) -> float:
        owed = self._debt(now)
        if all(each.has_spare() for each in (self._messages, self._bytes, self._records)):
            self._exceeded_since = None
        elif owed > 0 and self._exceeded_since is None:
            self._exceeded_since = now
        if self._exceeded_since is not None and now - self._exceeded_since > EXCEEDED_SECONDS:
            self._exceeded_since, self._blocked_until = None, now + BLOCKED_SECONDS
            raise Exhausted(
                f"the node exceeded its rate limit ({MESSAGES_PER_SECOND:.0f} messages, "
                f"{BYTES_PER_SECOND >> 10} KiB and {RECORDS_PER_SECOND:.0f} record a second) and "
                f"is blocked for {BLOCKED_SECONDS:.0f} s; check its agent, or remove the node"
            )
        return owed


class NodeRateLimits:
    """By node id; those of nodes that are no more are dropped in time.

    Args:
        nodes: ids of those that are there; live.
    """

    def __init__(self, nodes: Collection[str]) -> None:
        self._nodes = nodes
        self._limits: dict[str, NodeRateLimit] = {}

    def of(self, node_id: str, now: float) -> NodeRateLimit:
        found = self._limits.get(node_id)
        if found is None:
            if len(self._limits) > len(self._nodes) + _MAX_REMOVED_NODES:
                self._limits = {each: budget for each, budget in self._limits.items() if each in self._nodes}
            found = self._limits[node_id] = NodeRateLimit(now)
        return found
