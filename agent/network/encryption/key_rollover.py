"""Drives key rollovers to their end, and publishes this node's public keys."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence

from agent.network.encryption.encrypted_tunnels import EncryptedTunnels
from shoal.api.v1.node_pb2 import OverlayKey
from shoal.notifier import Notifier

log = logging.getLogger(__name__)

CHECK_SECONDS = 0.5
MAX_CHECKS = 120
"""At that pace, after each change; then at the usual times: a node that does not answer may be away for long."""

ReconcileTunnels = Callable[[], Awaitable[Sequence[str]]]
"""Has the tunnels looked after; what was wrong, in a line each."""


class KeyRollover:
    """For the event loop; the tunnels themselves are another thread's."""

    def __init__(self, *, tunnels: EncryptedTunnels, reconcile: ReconcileTunnels) -> None:
        self._tunnels = tunnels
        self._reconcile = reconcile
        self._published: Sequence[OverlayKey] = tunnels.keys
        self._news = Notifier()
        self._wakeup = asyncio.Event()

    def on_applied(self) -> None:
        """The tunnels were brought to something."""
        self.on_compared()
        if not self._tunnels.is_settled:
            self._wakeup.set()

    def on_compared(self) -> None:
        """They may have been made anew."""
        if self._tunnels.keys != self._published:
            self._published = self._tunnels.keys
            self._news.notify()

    @property
    def public_keys(self) -> Sequence[OverlayKey]:
        """The public keys."""
        return self._published

    def changes(self) -> AsyncGenerator[None]:
        """Once now, and again whenever `public_keys` is another."""
        return self._news.wakeups()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self._wakeup.wait()
            self._wakeup.clear()
            for _ in range(MAX_CHECKS):
                await asyncio.sleep(CHECK_SECONDS)
                for line in await self._reconcile():
                    log.warning("Repaired an encrypted tunnel: %s", line)
                self.on_compared()
                if self._tunnels.is_settled:
                    break
            self._wakeup.clear()
