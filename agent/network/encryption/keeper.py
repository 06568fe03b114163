"""Goes on with changes of keys while they last, and tells managers of this node's public keys."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence

from agent.network.encryption.sealing import Sealing
from agent.news import News
from shoal.api.v1.node_pb2 import OverlayKey

log = logging.getLogger(__name__)

PACE_SECONDS = 0.5
MOST_LOOKS = 120
"""At that pace, after each change; then at the usual times: a node that does not answer may be away for long."""

Look = Callable[[], Awaitable[Sequence[str]]]
"""Has the tunnels looked after; what was wrong, in a line each."""


class Keeper:
    """For the event loop; the tunnels themselves are another thread's."""

    def __init__(self, *, tunnels: Sealing, look: Look) -> None:
        self._tunnels = tunnels
        self._look = look
        self._told: Sequence[OverlayKey] = tunnels.keys
        self._news = News()
        self._woken = asyncio.Event()

    def applied(self) -> None:
        """The tunnels were brought to something."""
        self.compared()
        if not self._tunnels.is_settled:
            self._woken.set()

    def compared(self) -> None:
        """They may have been made anew."""
        if self._tunnels.keys != self._told:
            self._told = self._tunnels.keys
            self._news.ring()

    @property
    def current(self) -> Sequence[OverlayKey]:
        """The public keys."""
        return self._told

    def changes(self) -> AsyncGenerator[None]:
        """Once now, and again whenever `current` is another."""
        return self._news.rounds()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self._woken.wait()
            self._woken.clear()
            for _ in range(MOST_LOOKS):
                await asyncio.sleep(PACE_SECONDS)
                for line in await self._look():
                    log.warning("An encrypted tunnel was not as we left it, and is set right: %s", line)
                self.compared()
                if self._tunnels.is_settled:
                    break
            self._woken.clear()
