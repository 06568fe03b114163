"""Bringing the node's datapath to what is assigned: one application at a time, the newest wish only."""

import asyncio
import logging
from collections import deque
from collections.abc import AsyncGenerator
from contextlib import suppress

from agent.journal.journal import Journal
from agent.worker.assigned import Assigned
from agent.worker.seams import Networks
from shoal.errors import ShoalError

RETRY_SECONDS = 1.0

PAUSE_SECONDS = 0.03
"""After one application, until the next that no container waits for: each task that becomes ready is a wish, and fifty
of them at once are to cost a few applications, not fifty. One after a while of quiet is applied at once."""

_log = logging.getLogger(__name__)


class Datapath:
    """Wishes that come while one is being applied are joined; a container starts after its own is applied."""

    def __init__(self, *, networks: Networks, journal: Journal) -> None:
        self._networks = networks
        self._journal = journal
        self._wish = Assigned()
        self._wished = 0
        self._applied = 0
        self._change = asyncio.Condition()
        self._urgent = asyncio.Event()
        self._answers: deque[tuple[int, int]] = deque()

    async def wish(self, assigned: Assigned) -> None:
        """Ask for these networks, endpoints and peers; returns at once."""
        async with self._change:
            self._wish = assigned
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
                number, wish = self._wished, self._wish
                self._urgent.clear()
            try:
                await self._apply(wish)
            except ShoalError as error:
                _log.error("the datapath is not up to date: %s", error)
                await asyncio.sleep(RETRY_SECONDS)
                continue
            async with self._change:
                self._applied = number
                self._change.notify_all()
            with suppress(TimeoutError):
                async with asyncio.timeout(PAUSE_SECONDS):
                    await self._urgent.wait()

    async def _apply(self, wish: Assigned) -> None:
        self._journal.write_datapath(wish)
        await self._networks.apply(
            list(wish.networks.values()),
            list(wish.endpoints.values()),
            list(wish.peers.values()),
            list(wish.services.values()),
        )
