"""Stops tasks with `stop_on_disconnect` after the node has been disconnected for that long.

Managers take such a node for lost and start successors elsewhere. Most tasks may well run on beside those; some must
not (one writer, one address of the outside). Nothing that was stopped so is started again: only a manager
gives new tasks.
"""

import asyncio

from shoal.api.v1.service_pb2 import ServiceRevision

CHECK_SECONDS = 1.0


class DisconnectionTimer:
    """Since when no manager is in reach; of an agent that begins, from its beginning. For one event loop."""

    def __init__(self) -> None:
        self._since: float | None = None
        self._connected = False

    def update(self, connected: bool) -> None:
        """A manager has answered, or the session with one is over."""
        if connected:
            self._since = None
        elif self._since is None:
            self._since = _now()
        self._connected = connected

    def seconds(self) -> float:
        """For how long; 0 while one is in reach."""
        if self._connected:
            return 0.0
        if self._since is None:
            self._since = _now()
        return _now() - self._since


def must_stop(revision: ServiceRevision | None, seconds: float) -> bool:
    """Whether a task that runs this is to be stopped after so long. Pure."""
    allowed_ms = revision.spec.task.stop_on_disconnect_ms if revision is not None else 0
    return bool(allowed_ms) and seconds * 1000 >= allowed_ms


def stop_reason(revision: ServiceRevision | None) -> str:
    """Why a task that runs this was stopped, one line for the user."""
    allowed_ms = revision.spec.task.stop_on_disconnect_ms if revision is not None else 0
    return f"stopped: its node had no connection to a manager for {allowed_ms / 1000:g} s"


def _now() -> float:
    return asyncio.get_running_loop().time()
