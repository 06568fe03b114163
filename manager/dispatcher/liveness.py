"""When a node was last heard, and which ones are overdue. Pure: the time is passed in."""

HEARTBEAT_SECONDS = 2.0
MISSED = 3
"""Heartbeats that a node may miss; with the third it is DOWN."""

GRACE_SECONDS = 1.0
"""Beside the missed heartbeats, for agents to find another manager after theirs, or the leader, was lost."""


class Liveness:
    """Times are seconds of one monotonic clock."""

    def __init__(self, heartbeat_seconds: float) -> None:
        self._patience = MISSED * heartbeat_seconds
        self._heard: dict[str, float] = {}

    def heard(self, node_id: str, now: float) -> None:
        """The node spoke; it is watched from now on."""
        self._heard[node_id] = now

    def forget(self, node_id: str) -> None:
        """It is not ours to watch any more."""
        self._heard.pop(node_id, None)

    def is_fresh(self, node_id: str, now: float) -> bool:
        """Whether it is watched, and has not missed its heartbeats."""
        return now - self._heard.get(node_id, float("-inf")) <= self._patience

    def overdue(self, now: float) -> list[str]:
        """The nodes that have missed their heartbeats, the longest silent first."""
        late = [(heard, node_id) for node_id, heard in self._heard.items() if now - heard > self._patience]
        return [node_id for _, node_id in sorted(late)]
