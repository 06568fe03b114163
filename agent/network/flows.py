"""What clients of withdrawn tasks keep sending there is led anew, beside the datapath's thread: a look through the
kernel's tracked connections takes as long as its table is large, and nothing else has to wait for that."""

import asyncio
import logging
from collections.abc import Collection

from agent.network.netlink import tracking
from agent.network.netlink.connection import Connection
from agent.network.netlink.messages import Address
from shoal.errors import Unavailable

UNANSWERED_SECONDS = 0.5
"""After which an attempt to connect is not on its way any more: a task that lives has answered, and a client whose task
does not asks again a second after it asked first (RFC 6298, 2)."""

log = logging.getLogger(__name__)


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

    async def lead_anew(self, withdrawn: Collection[Address]) -> None:
        """Forget the flows of datagrams that these addresses answer; and, a moment later, attempts to connect that they
        have not answered: tasks that ended without a word have clients who wait.

        Raises:
            Unavailable: the kernel refused.
        """
        if not withdrawn:
            return
        self._withdrawn.update(withdrawn)
        if self._later is None or self._later.done():
            self._later = asyncio.create_task(self._forget_unanswered(), name="attempts to connect to withdrawn tasks")
        async with self._turn:
            await asyncio.to_thread(tracking.forget_datagrams, self._connection, withdrawn)

    async def _forget_unanswered(self) -> None:
        while self._withdrawn:
            due, self._withdrawn = self._withdrawn, set()
            await asyncio.sleep(UNANSWERED_SECONDS)
            try:
                async with self._turn:
                    await asyncio.to_thread(tracking.forget_unanswered, self._connection, due)
            except (Unavailable, OSError) as error:
                log.warning("Clients of withdrawn tasks may wait in vain: %s", error)
