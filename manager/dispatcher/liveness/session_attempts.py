"""Agents that try in vain to open their sessions, since etcd refuses to record them: their nodes are there.

Others than the manager that an agent tries decide whether its node is lost: the one that had its session, or the
leader. So each manager tells the others.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from itertools import islice

from manager.dispatcher.liveness.heartbeats import reconnect_seconds
from manager.store.tables import View
from shoal.api.v1.dispatcher_pb2 import SessionAttempt
from shoal.errors import ShoalError
from shoal.task_group import TaskGroup

MAX_ATTEMPTS = 1_000
"""Nodes in one report; the others are in the next ones."""

_log = logging.getLogger(__name__)

Report = Callable[[str, Sequence[SessionAttempt]], Awaitable[None]]
"""Sends attempts to the manager whose API has this address. Raises ShoalError: it does not respond."""


async def report_to_nobody(address: str, attempts: Sequence[SessionAttempt]) -> None:
    """For a dispatcher without other managers."""


class SessionAttempts:
    """Remembers the newest attempt of each node, with whichever manager, and reports those with this one to the others.

    A report that another manager does not receive is not repeated: the agent tries again, which is reported. Times are
    seconds of the event loop's clock.

    Args:
        manager_id: of this manager.
        report: see `Report`.
        expect: called with a node and the time by which it tries again: it is not silent until then.
        interval_seconds: between two reports.
    """

    def __init__(
        self,
        *,
        view: View,
        manager_id: str,
        report: Report,
        expect: Callable[[str, float], None],
        interval_seconds: float,
    ) -> None:
        self._view = view
        self._manager_id = manager_id
        self._report = report
        self._expect = expect
        self._interval_seconds = interval_seconds
        self._next_attempts: dict[str, float] = {}
        self._unreported: dict[str, float] = {}
        self._is_pending = asyncio.Event()

    def failed(self, node_id: str) -> None:
        """The node has just tried here."""
        now = asyncio.get_running_loop().time()
        self._record(node_id, now)
        self._unreported[node_id] = now
        self._is_pending.set()

    def failed_elsewhere(self, attempts: Iterable[SessionAttempt]) -> None:
        """Nodes have tried with another manager, which reports that."""
        now = asyncio.get_running_loop().time()
        for attempt in attempts:
            if attempt.node_id in self._view.nodes:
                self._record(attempt.node_id, now - attempt.age_ms / 1000)

    def next_attempt(self, node_id: str) -> float:
        """By when the node tries again; before any time if it has not tried."""
        return self._next_attempts.get(node_id, float("-inf"))

    async def run(self) -> None:
        """Report until cancelled."""
        while True:
            await self._is_pending.wait()
            attempts = self._take(asyncio.get_running_loop().time())
            async with TaskGroup() as group:
                for other in list(self._view.managers.values()):
                    if other.id != self._manager_id:
                        group.create_task(self._send(other.api_address, attempts), name=f"attempts to {other.id}")
            await asyncio.sleep(self._interval_seconds)

    def _record(self, node_id: str, at: float) -> None:
        if len(self._next_attempts) > len(self._view.nodes):  # some of them were removed
            self._next_attempts = {each: by for each, by in self._next_attempts.items() if each in self._view.nodes}
        by = max(at + reconnect_seconds(len(self._view.nodes)), self.next_attempt(node_id))
        self._next_attempts[node_id] = by
        self._expect(node_id, by)

    def _take(self, now: float) -> list[SessionAttempt]:
        """The next report: of the nodes that have waited longest."""
        taken = {each: self._unreported.pop(each) for each in list(islice(self._unreported, MAX_ATTEMPTS))}
        if not self._unreported:
            self._is_pending.clear()
        return [SessionAttempt(node_id=each, age_ms=round((now - at) * 1000)) for each, at in taken.items()]

    async def _send(self, address: str, attempts: Sequence[SessionAttempt]) -> None:
        try:
            await self._report(address, attempts)
        except ShoalError as error:
            _log.info("cannot report the nodes that try to open sessions: %s", error)
