"""Deletes stale conntrack entries of withdrawn tasks, so that their clients are forwarded to another one.

Runs beside the datapath's thread, since a scan of the kernel's tracked connections takes as long as their table is
large.
"""

import asyncio
import logging
from dataclasses import dataclass

from agent.network.ip_types import Address
from agent.network.netlink import conntrack
from agent.network.netlink.connection import Connection
from shoal.errors import Unavailable

UNREPLIED_SECONDS = 0.5
"""After this time an unanswered connection attempt is stale: a running task has answered, and a client whose task has
stopped retries a second after its first attempt (RFC 6298, 2)."""
CONNECT_WINDOW_SECONDS = 3 * UNREPLIED_SECONDS
"""After a backend was withdrawn, unanswered attempts to connect to it may be left for this long."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class WithdrawnBackends:
    """Backends that no longer receive new connections.

    Attributes:
        addresses: that a frontend has just stopped forwarding to.
        removed: that no task has any more, and that a frontend forwarded to until a moment ago.
    """

    addresses: frozenset[Address] = frozenset()
    removed: frozenset[Address] = frozenset()

    def __bool__(self) -> bool:
        return bool(self.addresses or self.removed)


class StaleFlows:
    """For the event loop's thread; create it in the node's network namespace."""

    def __init__(self) -> None:
        self._connection = Connection(conntrack.NETFILTER)
        self._lock = asyncio.Lock()
        self._pending: set[Address] = set()
        self._cleanup: asyncio.Task[None] | None = None

    def close(self) -> None:
        if self._cleanup is not None:
            self._cleanup.cancel()
        self._connection.close()

    async def delete_stale(self, withdrawn: WithdrawnBackends) -> None:
        """Delete the UDP flows of these addresses, and the TCP connections that they have not answered, whose clients
        wait; those of tasks that may still run after `UNREPLIED_SECONDS`.

        Raises:
            Unavailable: the kernel refused.
        """
        if not withdrawn:
            return
        # Removed ones again later: packets that were being forwarded while the rules changed are tracked by then.
        self._pending |= withdrawn.addresses | withdrawn.removed
        if self._cleanup is None or self._cleanup.done():
            self._cleanup = asyncio.create_task(self._delete_unreplied_later(), name="conntrack cleanup")
        async with self._lock:
            await asyncio.to_thread(conntrack.delete_unreplied_connections, self._connection, withdrawn.removed)
            await asyncio.to_thread(conntrack.delete_udp_flows, self._connection, withdrawn.addresses)

    async def _delete_unreplied_later(self) -> None:
        while self._pending:
            due, self._pending = self._pending, set()
            await asyncio.sleep(UNREPLIED_SECONDS)
            try:
                async with self._lock:
                    await asyncio.to_thread(conntrack.delete_unreplied_connections, self._connection, due)
            except (Unavailable, OSError) as error:
                log.warning(
                    "Could not delete conntrack entries of withdrawn tasks; their clients may have to time out: %s",
                    error,
                )
