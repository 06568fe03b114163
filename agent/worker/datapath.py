"""Bringing the node's datapath to what is assigned: one application at a time, of all that has changed meanwhile."""

import asyncio
import logging
from collections import deque
from collections.abc import AsyncGenerator
from contextlib import suppress

from agent.worker.journal_keeper import JournalKeeper
from agent.worker.seams import Networks
from agent.worker.table_change import TableChange
from shoal.errors import ShoalError

RETRY_SECONDS = 1.0

PAUSE_SECONDS = 0.03
"""After one application, until the next that no container waits for: each task that becomes ready is a wish, and fifty
of them at once are to cost a few applications, not fifty. One after a while of quiet is applied at once."""

_log = logging.getLogger(__name__)


class Datapath:
    """Wishes that come while one is being applied are joined; a container starts after its own is applied."""

    def __init__(self, *, networks: Networks, journal: JournalKeeper) -> None:
        self._networks = networks
        self._journal = journal
        self._due = TableChange()
        self._unwritten = TableChange()
        self._wished = 0
        self._applied = 0
        self._change = asyncio.Condition()
        self._urgent = asyncio.Event()
        self._answers: deque[tuple[int, int]] = deque()

    async def begin(self, known: TableChange) -> None:
        """Ask for what the journal holds; returns at once."""
        await self._wish(known)

    async def wish(self, change: TableChange) -> None:
        """Ask for these networks, endpoints, peers and services; returns at once."""
        self._unwritten = self._unwritten.then(change)
        await self._wish(change)

    async def _wish(self, change: TableChange) -> None:
        async with self._change:
            self._due = self._due.then(change)
            self._wished += 1
            self._change.notify_all()

    async def applied(self) -> None:
        """Wait until what was wished before this call is in place."""
        async with self._change:
            wanted = self._wished
            if self._applied < wanted:
                self._urgent.set()
            await self._change.wait_for(lambda: self._applied >= wanted)

    async def answer(self, sequence: int) -> None:
        """Have `applications` tell this number of a message once what is wished now is in place."""
        async with self._change:
            self._answers.append((sequence, self._wished))
            self._change.notify_all()

    async def applications(self) -> AsyncGenerator[int]:
        """The newest number whose wish is in place, whenever there is a newer one. For one reader at a time."""
        while True:
            async with self._change:
                await self._change.wait_for(lambda: self._answers and self._answers[0][1] <= self._applied)
                while self._answers and self._answers[0][1] <= self._applied:
                    sequence, _ = self._answers.popleft()
            yield sequence

    async def run(self) -> None:
        """Apply wishes until cancelled; one that the host refuses is tried again."""
        while True:
            async with self._change:
                await self._change.wait_for(lambda: self._applied < self._wished)
                number, change, self._due = self._wished, self._due, TableChange()
                self._urgent.clear()
            try:
                await self._apply(change)
            except ShoalError as error:
                _log.error("the datapath is not up to date: %s", error)
                self._due = change.then(self._due)
                await asyncio.sleep(RETRY_SECONDS)
                continue
            async with self._change:
                self._applied = number
                self._change.notify_all()
            with suppress(TimeoutError):
                async with asyncio.timeout(PAUSE_SECONDS):
                    await self._urgent.wait()

    async def _apply(self, change: TableChange) -> None:
        self._journal.write_tables(self._unwritten)
        self._unwritten = TableChange()
        await self._networks.apply(change)
