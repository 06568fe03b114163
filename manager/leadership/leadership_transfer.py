"""A leader whose own etcd does not respond has another manager end its term, before its lease expires.

When etcd's leader changes, etcd renews all leases. So where the etcd beside the leading manager hangs, and led, the
manager's lease would last for the election and its whole time to live. It is safe at any moment: the fence rejects what
is written in a term that is over.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping

from shoal.errors import ShoalError

PROBE_SECONDS = 0.25
"""Between two probes of the own etcd."""
RESPONSE_SECONDS = 0.5
FAILURES = 2
"""In a row: for about a second etcd has not responded."""

_log = logging.getLogger(__name__)

Responds = Callable[[float], Awaitable[bool]]
"""Whether the etcd beside this manager responds within these seconds, with a majority or without."""
EndTerm = Callable[[str, int], Awaitable[None]]
"""Ask the manager at an address to revoke a lease. Raises ShoalError."""


class LeadershipTransfer:
    """Watches the etcd beside the leading manager.

    Args:
        responds: as above.
        others: addresses of the other running managers, by id.
        end_term: as above.
    """

    def __init__(self, *, responds: Responds, others: Callable[[], Mapping[str, str]], end_term: EndTerm) -> None:
        self._responds = responds
        self._others = others
        self._end_term = end_term

    async def run(self, lease: int) -> str:
        """Until another manager has ended this manager's term; returns its id.

        Args:
            lease: of the term.
        """
        failures = 0
        while True:
            failures = 0 if await self._responds(RESPONSE_SECONDS) else failures + 1
            if failures >= FAILURES and (ended_by := await self._ask(lease)):
                return ended_by
            await asyncio.sleep(PROBE_SECONDS)

    async def _ask(self, lease: int) -> str:
        """Ask all other managers at once; returns the first that has ended the term, or an empty string."""
        asked = [asyncio.create_task(self._ask_one(*each, lease)) for each in self._others().items()]
        try:
            for answer in asyncio.as_completed(asked):
                if ended_by := await answer:
                    return ended_by
            return ""
        finally:
            for task in asked:
                task.cancel()
            await asyncio.gather(*asked, return_exceptions=True)

    async def _ask_one(self, manager_id: str, address: str, lease: int) -> str:
        try:
            await self._end_term(address, lease)
        except ShoalError as error:
            _log.info("manager %s cannot end this manager's term: %s", manager_id, error)
            return ""
        return manager_id
