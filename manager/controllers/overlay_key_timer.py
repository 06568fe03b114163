"""Rotates the keys of encrypted networks every twelve hours. Runs on the leader only."""

import asyncio
import logging
from collections.abc import Callable
from typing import Protocol

from manager.store.record_store import RecordStore
from manager.store.tables import View
from shoal.errors import Conflict, Refused, Timeout, Unavailable
from shoal.networks.overlay_encryption import is_encrypted

PERIOD_MS = 12 * 3600 * 1000
"""Docker Swarm's. Keys of sessions change every two minutes, by WireGuard itself; this changes the nodes' own."""
CHECK_SECONDS = 60.0

_log = logging.getLogger(__name__)


class NetworkKeyRotator(Protocol):
    """`manager.networks.overlay_key_rotation.OverlayKeyRotation` is one."""

    async def rotate(self, fence: int | None = None) -> int: ...


class OverlayKeyTimer:
    """Checks once a minute whether a rotation is due.

    Args:
        now_ms: milliseconds since the Unix epoch.
    """

    def __init__(self, *, store: RecordStore, keys: NetworkKeyRotator, now_ms: Callable[[], int]) -> None:
        self._store = store
        self._keys = keys
        self._now_ms = now_ms

    async def run(self, fence: int) -> None:
        """Until cancelled.

        Raises:
            LeadershipLost: the term is over.
        """
        while True:
            await self.rotate_if_due(fence)
            await asyncio.sleep(CHECK_SECONDS)

    async def rotate_if_due(self, fence: int) -> None:
        """Rotate the keys if they are due; a failure is logged and retried at the next check."""
        if self._now_ms() < due_ms(self._store.tables):
            return
        try:
            generation = await self._keys.rotate(fence)
        except (Conflict, Refused, Timeout, Unavailable) as error:
            _log.info("cannot rotate the keys of encrypted networks yet: %s", error)
            return
        _log.info("rotating the keys of encrypted networks to generation %d", generation)


def due_ms(view: View) -> float:
    """When the keys are to be changed, in milliseconds since the Unix epoch; never without an encrypted network."""
    encrypted = [network for network in view.networks.values() if is_encrypted(network.spec)]
    if not encrypted:
        return float("inf")
    began = min(network.meta.created_at_ms for network in encrypted)
    return max(began, view.overlay_keys.changed_at_ms if view.overlay_keys is not None else 0) + PERIOD_MS
