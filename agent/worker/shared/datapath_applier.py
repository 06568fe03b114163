"""Applies cluster changes to the datapath, one batch at a time."""

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
"""Delay after a batch before the next one that no container waits for: each task that becomes ready is a request, and
fifty of them at once should cost a few batches, not fifty. After a quiet period a request is applied at once."""

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
        """Request the journal's state; returns immediately."""
        await self._enqueue(known)

    async def request(self, change: ClusterDiff) -> None:
        """Request a change; returns immediately."""
        self._unjournaled = self._unjournaled.merge(change)
        await self._enqueue(change)

    async def _enqueue(self, change: ClusterDiff) -> None:
        async with self._condition:
            self._pending = self._pending.merge(change)
            self._requested += 1
            self._condition.notify_all()

    async def wait_applied(self) -> None:
        """Wait until everything requested before this call has been applied."""
        async with self._condition:
            target = self._requested
            if self._applied < target:
                self._urgent.set()
            await self._condition.wait_for(lambda: self._applied >= target)

    async def report_when_applied(self, sequence: int) -> None:
        """Make `applied_sequences` yield a message's number once everything requested so far has been applied."""
        async with self._condition:
            self._reports.append((sequence, self._requested))
            self._condition.notify_all()

    async def applied_sequences(self) -> AsyncGenerator[int]:
        """Yields the newest number whose requests have been applied, whenever there is a newer one. For one reader."""
        while True:
            async with self._condition:
                await self._condition.wait_for(lambda: self._reports and self._reports[0][1] <= self._applied)
                while self._reports and self._reports[0][1] <= self._applied:
                    sequence, _ = self._reports.popleft()
            yield sequence

    async def run(self) -> None:
        """Apply requests until cancelled; failed ones are retried."""
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
