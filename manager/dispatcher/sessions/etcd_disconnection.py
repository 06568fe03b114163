"""Ends agents' sessions while this manager is disconnected from etcd, or etcd does not renew its registration.

What a node reports could not be stored, and what others change would not reach it; and a leader elsewhere takes nodes
for lost whose manager is not registered. So its agent looks for another
manager, and where there is none it is disconnected as from managers that do not run: what runs on the node goes on, but
for tasks with `stop_on_disconnect`, whose successors a leader elsewhere may have started, and for tasks that end, which
their node restarts. It does so where it is certain that no manager knows of the end: so it is told where its statuses
were dropped.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Protocol

from manager.dispatcher.statuses.task_status_writer import Check
from shoal.api.v1.dispatcher_pb2 import ManagerMessage, StatusesDropped
from shoal.errors import ShoalError, Unavailable

_log = logging.getLogger(__name__)

CHECK_SECONDS = 0.5
_REASON = "this manager is disconnected from etcd; connect to another one"


class EndableSession(Protocol):
    """One agent's session."""

    def end(self, reason: ShoalError | None, last_message: ManagerMessage | None = None) -> None: ...


class SuspendableMonitor(Protocol):
    """Evaluates nodes' silence."""

    def suspend(self) -> None: ...

    def resume(self) -> None: ...


class EtcdDisconnection:
    """Whether this manager is disconnected from etcd, and what it does then.

    Args:
        check: raises Unavailable: etcd does not answer, or this manager's registration has expired and is not renewed.
        sessions: by node; live.
        monitor: nodes whose session was ended have the usual time to return after the reconnection.
        withdraw: drops the statuses that a node has sent; whether none of them may be in etcd, which its agent is told.
    """

    def __init__(
        self,
        *,
        check: Check,
        sessions: Mapping[str, EndableSession],
        monitor: SuspendableMonitor,
        withdraw: Callable[[str], bool],
    ) -> None:
        self._check = check
        self._withdraw = withdraw
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
            for node_id, session in list(self._sessions.items()):
                dropped = ManagerMessage(statuses_dropped=StatusesDropped()) if self._withdraw(node_id) else None
                session.end(Unavailable(_REASON), dropped)
            return
        if self._disconnected:
            self._disconnected = False
            self._monitor.resume()
            _log.info("connected to etcd again; accepting sessions of agents")
