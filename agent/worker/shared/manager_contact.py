"""Whether a manager that may decide is in reach, and for how long none has been."""

import asyncio

GRACE_SECONDS = 8.0
"""Without a manager for so long, a node restarts its own tasks: longer than a fail-over takes (3 s), and than a node
takes to find another manager (5 s)."""


class ManagerContact:
    """Measures how long no manager has been reachable, from the agent's start on. For one event loop."""

    def __init__(self) -> None:
        self._since: float | None = None
        self.is_connected = False

    def update(self, connected: bool) -> None:
        """A session with a manager was established, or has ended."""
        if connected:
            self._since = None
        elif self._since is None:
            self._since = _now()
        self.is_connected = connected

    def seconds(self) -> float:
        """Seconds without a manager; 0 while connected."""
        if self.is_connected:
            return 0.0
        if self._since is None:
            self._since = _now()
        return _now() - self._since

    @property
    def grace_left_seconds(self) -> float:
        """Until this node decides by itself, where no manager comes back."""
        return max(0.0, GRACE_SECONDS - self.seconds())


def _now() -> float:
    return asyncio.get_running_loop().time()
