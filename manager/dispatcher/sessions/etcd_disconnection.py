"""Ends agents' sessions while this manager is disconnected from etcd.

What a node reports could not be stored, and what others change would not reach it. So its agent looks for another
manager, and where there is none it is disconnected as from managers that do not run: what runs on the node goes on, but
for tasks with `stop_on_disconnect`, whose successors a leader elsewhere may have started.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol

from shoal.errors import ShoalError, Unavailable

_log = logging.getLogger(__name__)

CHECK_SECONDS = 0.5
_REASON = "this manager is disconnected from etcd; connect to another one"

Check = Callable[[], Awaitable[None]]
"""Raises Unavailable: etcd has not answered for a while, and does not now."""


class EndableSession(Protocol):
    """One agent's session."""

    def end(self, reason: ShoalError | None) -> None: ...


class SuspendableMonitor(Protocol):
    """Evaluates nodes' silence."""

    def suspend(self) -> None: ...

    def resume(self) -> None: ...


class EtcdDisconnection:
    """Whether this manager is disconnected from etcd, and what it does then.

    Args:
        sessions: by node; live.
        monitor: nodes whose session was ended have the usual time to return after the reconnection.
    """

    def __init__(self, *, check: Check, sessions: Mapping[str, EndableSession], monitor: SuspendableMonitor) -> None:
        self._check = check
        self._sessions = sessions
        self._monitor = monitor
        self._disconnected = False

    def check_open(self) -> None:
        """Raises Unavailable: no session can be opened now."""
        if self._disconnected:
            raise Unavailable(_REASON)

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self._update()
            await asyncio.sleep(CHECK_SECONDS)

    async def _update(self) -> None:
        try:
            await self._check()
        except Unavailable as error:
            if not self._disconnected:
                self._disconnected = True
                self._monitor.suspend()
                _log.warning("ending %d sessions of agents: %s", len(self._sessions), error)
            for session in list(self._sessions.values()):
                session.end(Unavailable(_REASON))
            return
        if self._disconnected:
            self._disconnected = False
            self._monitor.resume()
            _log.info("connected to etcd again; accepting sessions of agents")


async def always_connected() -> None:
    """A check that finds nothing."""
