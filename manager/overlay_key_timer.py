"""Changes the keys of encrypted networks from time to time. Run by the leader alone."""

import asyncio
import logging
from collections.abc import Callable
from typing import Protocol

from manager.control_api.seams import Records
from manager.store.tables import View
from shoal.errors import Conflict, Refused, Timeout, Unavailable
from shoal.overlay_encryption import is_encrypted

PERIOD_MS = 12 * 3600 * 1000
"""Docker Swarm's. Keys of sessions change every two minutes, by WireGuard itself; this changes the nodes' own."""
LOOK_SECONDS = 60.0

_log = logging.getLogger(__name__)


class Keys(Protocol):
    """`manager.control_api.network_keys.NetworkKeys` is one."""

    async def rotate(self, fence: int | None = None) -> int: ...


class OverlayKeyTimer:
    """Looks every minute.

    Args:
        now_ms: milliseconds since the Unix epoch.
    """

    def __init__(self, *, store: Records, keys: Keys, now_ms: Callable[[], int]) -> None:
        self._store = store
        self._keys = keys
        self._now_ms = now_ms

    async def run(self, fence: int) -> None:
        """Until cancelled.

        Raises:
            Deposed: the term is over.
        """
        while True:
            await self.look(fence)
            await asyncio.sleep(LOOK_SECONDS)

    async def look(self, fence: int) -> None:
        """Change the keys if it is time; what stands in the way is told, and tried again at the next look."""
        if self._now_ms() < due_ms(self._store.tables):
            return
        try:
            generation = await self._keys.rotate(fence)
        except (Conflict, Refused, Timeout, Unavailable) as error:
            _log.info("the keys of encrypted networks are changed later: %s", error)
            return
        _log.info("nodes change to keys of generation %d for encrypted networks", generation)


def due_ms(view: View) -> float:
    """When the keys are to be changed, in milliseconds since the Unix epoch; never without an encrypted network."""
    encrypted = [network for network in view.networks.values() if is_encrypted(network.spec)]
    if not encrypted:
        return float("inf")
    began = min(network.meta.created_at_ms for network in encrypted)
    return max(began, view.overlay_keys.since_ms if view.overlay_keys is not None else 0) + PERIOD_MS
