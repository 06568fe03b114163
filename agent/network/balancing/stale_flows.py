"""What clients of withdrawn tasks keep sending there is led anew, beside the datapath's thread: a look through the
kernel's tracked connections takes as long as its table is large, and nothing else has to wait for that."""

import asyncio
import logging
from dataclasses import dataclass

from agent.network.netlink import conntrack
from agent.network.netlink.connection import Connection
from agent.network.netlink.rtnetlink import Address
from shoal.errors import Unavailable

UNREPLIED_SECONDS = 0.5
"""After which an attempt to connect is not on its way any more: a task that lives has answered, and a client whose task
does not asks again a second after it asked first (RFC 6298, 2)."""
CONNECT_WINDOW_SECONDS = 3 * UNREPLIED_SECONDS
"""After a backend was withdrawn, in which attempts to connect to it may be left."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class WithdrawnBackends:
    """Backends that no longer receive new connections.

    Attributes:
        addresses: that some frontend has led to until now.
        removed: that no task has any more, and that one has led to until a moment ago.
    """

    addresses: frozenset[Address] = frozenset()
    removed: frozenset[Address] = frozenset()

    def __bool__(self) -> bool:
        return bool(self.addresses or self.removed)


class StaleFlows:
    """For the event loop's thread; make it in the node's network namespace."""

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
        """Forget the flows of datagrams that these addresses answer, and attempts to connect that they have not
        answered: tasks that ended without a word have clients who wait. Those of tasks that may live a moment later.

        Raises:
            Unavailable: the kernel refused.
        """
        if not withdrawn:
            return
        # Once more of those that are gone: what was being led there while the rules changed is tracked by then.
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
