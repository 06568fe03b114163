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
"""After each change; later the periodic reconciliation continues, since an unreachable node may stay so for long."""

ReconcileTunnels = Callable[[], Awaitable[Sequence[str]]]
"""Reconciles the tunnels; one line for each repair."""


class KeyRollover:
    """For the event loop; the tunnels themselves belong to another thread."""

    def __init__(self, *, tunnels: EncryptedTunnels, reconcile: ReconcileTunnels) -> None:
        self._tunnels = tunnels
        self._reconcile = reconcile
        self._published: Sequence[OverlayKey] = tunnels.keys
        self._notifier = Notifier()
        self._wakeup = asyncio.Event()

    def on_applied(self) -> None:
        """Call after a change was applied to the tunnels."""
        self.on_compared()
        if not self._tunnels.is_settled:
            self._wakeup.set()

    def on_compared(self) -> None:
        """Call after a comparison, which may have recreated tunnels with new keys."""
        if self._tunnels.keys != self._published:
            self._published = self._tunnels.keys
            self._notifier.notify()

    @property
    def public_keys(self) -> Sequence[OverlayKey]:
        """This node's public keys."""
        return self._published

    def changes(self) -> AsyncGenerator[None]:
        """Once now, and again after each change of `public_keys`."""
        return self._notifier.wakeups()

    async def run(self) -> None:
        """Drive rollovers, until cancelled."""
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
