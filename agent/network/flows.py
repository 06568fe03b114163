"""Datagram flows of withdrawn tasks are led anew, beside the datapath's thread: a look through the kernel's tracked
connections takes as long as its table is large, and nothing else has to wait for that."""

import asyncio
from collections.abc import Collection

from agent.network.netlink import tracking
from agent.network.netlink.connection import Connection
from agent.network.netlink.messages import Address


class Flows:
    """For the event loop's thread; make it in the node's network namespace."""

    def __init__(self) -> None:
        self._connection = Connection(tracking.FAMILY)
        self._turn = asyncio.Lock()

    def close(self) -> None:
        self._connection.close()

    async def lead_anew(self, withdrawn: Collection[Address]) -> None:
        """Forget the flows of datagrams that these addresses answer.

        Raises:
            Unavailable: the kernel refused.
        """
        if withdrawn:
            async with self._turn:
                await asyncio.to_thread(tracking.forget_datagrams, self._connection, withdrawn)
