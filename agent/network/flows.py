"""What clients of withdrawn tasks keep sending there is led anew, beside the datapath's thread: a look through the
kernel's tracked connections takes as long as its table is large, and nothing else has to wait for that."""

import asyncio
import logging
from dataclasses import dataclass

from agent.network.netlink import tracking
from agent.network.netlink.connection import Connection
from agent.network.netlink.messages import Address
from shoal.errors import Unavailable

UNANSWERED_SECONDS = 0.5
"""After which an attempt to connect is not on its way any more: a task that lives has answered, and a client whose task
does not asks again a second after it asked first (RFC 6298, 2)."""
TRIED_SECONDS = 3 * UNANSWERED_SECONDS
"""After a backend was withdrawn, in which attempts to connect to it may be left."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Withdrawn:
    """Backends that clients are not led to any more.

    Attributes:
        addresses: that some frontend has led to until now.
        gone: that no task has any more, and that one has led to until a moment ago.
    """

    addresses: frozenset[Address] = frozenset()
    gone: frozenset[Address] = frozenset()

    def __bool__(self) -> bool:
        return bool(self.addresses or self.gone)


class Flows:
    """For the event loop's thread; make it in the node's network namespace."""

    def __init__(self) -> None:
        self._connection = Connection(tracking.FAMILY)
        self._turn = asyncio.Lock()
        self._withdrawn: set[Address] = set()
        self._later: asyncio.Task[None] | None = None

    def close(self) -> None:
        if self._later is not None:
            self._later.cancel()
        self._connection.close()

    async def lead_anew(self, withdrawn: Withdrawn) -> None:
        """Forget the flows of datagrams that these addresses answer, and attempts to connect that they have not
        answered: tasks that ended without a word have clients who wait. Those of tasks that may live a moment later.

        Raises:
            Unavailable: the kernel refused.
        """
        if not withdrawn:
            return
        # Once more of those that are gone: what was being led there while the rules changed is tracked by then.
        self._withdrawn |= withdrawn.addresses | withdrawn.gone
        if self._later is None or self._later.done():
            self._later = asyncio.create_task(self._forget_unanswered(), name="attempts to connect to withdrawn tasks")
        async with self._turn:
            await asyncio.to_thread(tracking.forget_unanswered, self._connection, withdrawn.gone)
            await asyncio.to_thread(tracking.forget_datagrams, self._connection, withdrawn.addresses)

    async def _forget_unanswered(self) -> None:
        while self._withdrawn:
            due, self._withdrawn = self._withdrawn, set()
            await asyncio.sleep(UNANSWERED_SECONDS)
            try:
                async with self._turn:
                    await asyncio.to_thread(tracking.forget_unanswered, self._connection, due)
            except (Unavailable, OSError) as error:
                log.warning("Clients of withdrawn tasks may wait in vain: %s", error)
