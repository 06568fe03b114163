"""Rate limits of a node: messages, bytes and records. Pure: time is passed in as monotonic seconds.

A node has a burst, for when many tasks start or a new session begins, and then a rate. A session beyond the rate is
read more slowly, which a correct agent does not notice, since it batches. A node that stays beyond the rate does not
run a correct agent: its session ends, and for a while it can open none.
"""

from collections.abc import Collection

from shoal.errors import Busy, Exhausted

MESSAGES_PER_SECOND = 100.0
MESSAGES_BURST = 1_000
"""An agent sends at most 40 batches of statuses per second. Messages of kind Applied are not counted."""

BYTES_PER_SECOND = 64 << 10
BYTES_BURST = 4 << 20
"""Of messages and of what is written for them: 3,000 statuses, 10,000 volumes and a description take 2 MiB."""

RECORDS_PER_SECOND = 1.0
RECORDS_BURST = 60
"""Descriptions, conditions and volume reports: each is a record in etcd."""

EXCEEDED_SECONDS = 10.0
"""For how long a node may exceed its rate without a pause."""

BLOCKED_SECONDS = 30.0
_SPARE_SHARE = 0.05
_MAX_REMOVED_NODES = 1_000


class TokenBucket:
    """Tokens that are added at a rate, up to a burst. The bucket may be overdrawn."""

    def __init__(self, rate: float, burst: float, now: float) -> None:
        self._rate = rate
        self._burst = burst
        self._level = burst
        self._at = now

    def consume(self, amount: float, now: float) -> None:
        self._level = min(self._burst, self._level + (now - self._at) * self._rate) - amount
        self._at = now

    def has_spare(self) -> bool:
        """Whether the node paused; a sleep that is a little late does not count."""
        return self._level >= _SPARE_SHARE * self._burst

    def debt_seconds(self, now: float) -> float:
        """Seconds until the bucket is no longer overdrawn."""
        return max(0.0, -self._level / self._rate - (now - self._at))


class NodeRateLimit:
    """The rate limit of one node, over all its sessions with this manager."""

    def __init__(self, now: float) -> None:
        self._messages = TokenBucket(MESSAGES_PER_SECOND, MESSAGES_BURST, now)
        self._bytes = TokenBucket(BYTES_PER_SECOND, BYTES_BURST, now)
        self._records = TokenBucket(RECORDS_PER_SECOND, RECORDS_BURST, now)
        self._exceeded_since: float | None = None
        self._blocked_until = now

    def check_open(self, now: float) -> None:
        """Call before a session is opened.

        Raises:
            Busy: the node exceeded its rate; the error says when to retry.
        """
        seconds = max(self._blocked_until - now, self._debt(now))
        if seconds > 0:
            raise Busy(f"this node exceeded its rate limit; retry in {seconds:.0f} s", seconds)

    def spend(self, size: int, now: float, *, messages: int = 1, records: int = 0) -> float:
        """Count received bytes or bytes to write; returns the seconds to wait before handling them.

        Args:
            messages: 0 for a response to a message of the manager.
            records: number of records that are written for it.
        Raises:
            Exhausted: the node has exceeded its rate for too long.
        """
        self._messages.consume(messages, now)
        self._records.consume(records, now)
        self._bytes.consume(size, now)
        return self._wait(now)

    def _debt(self, now: float) -> float:
        return max(each.debt_seconds(now) for each in (self._messages, self._bytes, self._records))

    def _wait(self, now: float) -> float:
        debt = self._debt(now)
        if all(each.has_spare() for each in (self._messages, self._bytes, self._records)):
            self._exceeded_since = None
        elif debt > 0 and self._exceeded_since is None:
            self._exceeded_since = now
        if self._exceeded_since is not None and now - self._exceeded_since > EXCEEDED_SECONDS:
            self._exceeded_since, self._blocked_until = None, now + BLOCKED_SECONDS
            raise Exhausted(
                f"the node exceeded its rate limit ({MESSAGES_PER_SECOND:.0f} messages, "
                f"{BYTES_PER_SECOND >> 10} KiB and {RECORDS_PER_SECOND:.0f} record a second) and "
                f"is blocked for {BLOCKED_SECONDS:.0f} s; check its agent, or remove the node"
            )
        return debt


class NodeRateLimits:
    """The rate limits by node id; those of removed nodes are dropped eventually.

    Args:
        nodes: ids of existing nodes; live.
    """

    def __init__(self, nodes: Collection[str]) -> None:
        self._nodes = nodes
        self._limits: dict[str, NodeRateLimit] = {}

    def of(self, node_id: str, now: float) -> NodeRateLimit:
        found = self._limits.get(node_id)
        if found is None:
            if len(self._limits) > len(self._nodes) + _MAX_REMOVED_NODES:
                self._limits = {each: limit for each, limit in self._limits.items() if each in self._nodes}
            found = self._limits[node_id] = NodeRateLimit(now)
        return found
