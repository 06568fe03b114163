"""Bringing the node's datapath to what is assigned: one application at a time, of all that has changed meanwhile."""

import asyncio
import logging
from collections import deque
from collections.abc import AsyncGenerator
from contextlib import suppress

from agent.assignments.cluster_diff import ClusterDiff
from agent.worker.interfaces import Networks
from agent.worker.shared.journal_writer import JournalWriter
from shoal.errors import ShoalError

RETRY_SECONDS = 1.0

BATCH_SECONDS = 0.03
"""After one application, until the next that no container waits for: each task that becomes ready is a wish, and fifty
of them at once are to cost a few applications, not fifty. One after a while of quiet is applied at once."""

_log = logging.getLogger(__name__)


class DatapathApplier:
    """Requests that arrive during an application are merged; a container starts only after its own was applied."""

    def __init__(self, *, networks: Networks, journal: JournalWriter) -> None:
        self._networks = networks
        self._journal = journal
        self._pending = ClusterDiff()
        self._unjournaled = ClusterDiff()
        self._requested = 0
        self._applied = 0
        self._condition = asyncio.Condition()
        self._urgent = asyncio.Event()
        self._reports: deque[tuple[int, int]] = deque()

    async def start(self, known: ClusterDiff) -> None:
        """Ask for what the journal holds; returns at once."""
        await self._enqueue(known)

    async def request(self, change: ClusterDiff) -> None:
        """Ask for these networks, endpoints, peers and services; returns at once."""
        self._unjournaled = self._unjournaled.merge(change)
        await self._enqueue(change)

    async def _enqueue(self, change: ClusterDiff) -> None:
        async with self._condition:
            self._pending = self._pending.merge(change)
            self._requested += 1
            self._condition.notify_all()

    async def wait_applied(self) -> None:
        """Wait until what was wished before this call is in place."""
        async with self._condition:
            wanted = self._requested
            if self._applied < wanted:
                self._urgent.set()
            await self._condition.wait_for(lambda: self._applied >= wanted)

    async def report_when_applied(self, sequence: int) -> None:
        """Have `applied_sequences` tell this number of a message once what is wished now is in place."""
        async with self._condition:
            self._reports.append((sequence, self._requested))
            self._condition.notify_all()

    async def applied_sequences(self) -> AsyncGenerator[int]:
        """The newest number whose wish is in place, whenever there is a newer one. For one reader at a time."""
        while True:
            async with self._condition:
                await self._condition.wait_for(lambda: self._reports and self._reports[0][1] <= self._applied)
                while self._reports and self._reports[0][1] <= self._applied:
                    sequence, _ = self._reports.popleft()
            yield sequence

    async def run(self) -> None:
        """Apply wishes until cancelled; one that the host refuses is tried again."""
        while True:
            async with self._condition:
                await self._condition.wait_for(lambda: self._applied < self._requested)
                number, change, self._pending = self._requested, self._pending, ClusterDiff()
                self._urgent.clear()
            try:
                await self._apply(change)
            except ShoalError as error:
                _log.error("could not apply network changes, retrying: %s", error)
                self._pending = change.merge(self._pending)
                await asyncio.sleep(RETRY_SECONDS)
                continue
            async with self._condition:
                self._applied = number
                self._condition.notify_all()
            with suppress(TimeoutError):
                async with asyncio.timeout(BATCH_SECONDS):
                    await self._urgent.wait()

    async def _apply(self, change: ClusterDiff) -> None:
        self._journal.write_cluster(self._unjournaled)
        self._unjournaled = ClusterDiff()
        await self._networks.apply(change)
