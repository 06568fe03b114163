"""Whether etcd answers with a majority of its members, which reads and writes need and its members' status does not."""

import asyncio

import grpc.aio

from manager.etcd.members import Members
from manager.etcd.v3 import etcd_pb2 as rpc
from shoal.errors import Unavailable

SILENT_SECONDS = 5.0
"""Without an answer for so long, etcd may have no majority. A running manager renews a lease each second."""
RECENT_SECONDS = 1.5
"""An answer that is older says little; in a running manager it seldom is."""
PROBE_SECONDS = 2.0


class Majority:
    """When etcd last answered a call that needs one. Made and used in one event loop."""

    def __init__(self, members: Members) -> None:
        self._members = members
        self._answered: float | None = None

    def answered(self) -> None:
        """Such a call has just been answered."""
        self._answered = asyncio.get_running_loop().time()

    def lost_before(self, seconds: float) -> None:
        """There has been no majority since so long ago, at least."""
        self._answered = asyncio.get_running_loop().time() - max(seconds, SILENT_SECONDS)

    @property
    def silent_seconds(self) -> float:
        """Since the last answer; 0 where that is not long enough to mean anything."""
        return self._silent_seconds(SILENT_SECONDS)

    def _silent_seconds(self, at_least: float) -> float:
        if self._answered is None:
            return 0.0
        silent = asyncio.get_running_loop().time() - self._answered
        return silent if silent >= at_least else 0.0

    def silent_since(self, at_ms: int) -> int:
        """Milliseconds since the Unix epoch, of which `at_ms` is now; 0 as above."""
        silent = self.silent_seconds
        return at_ms - round(silent * 1000) if silent else 0

    async def check(self) -> None:
        """Before a change, so that it is certain that nothing was changed.

        Raises:
            Unavailable: there has been no answer for some time, and there is none now.
        """
        await self._check(SILENT_SECONDS)

    async def check_recent(self) -> None:
        """As `check`, and after a shorter silence already: before a change that must not be left in doubt.

        Raises:
            Unavailable: there is no answer.
        """
        await self._check(RECENT_SECONDS)

    async def _check(self, at_least: float) -> None:
        if not (silent := self._silent_seconds(at_least)):
            return
        try:
            member = await self._members.connected(PROBE_SECONDS)
            await member.kv.Range(rpc.RangeRequest(key=b"/", count_only=True), timeout=PROBE_SECONDS)
        except (grpc.aio.AioRpcError, Unavailable) as error:
            raise Unavailable(
                f"a majority of etcd's members has not answered for {silent:.0f} s; nothing was changed: start the "
                "managers, or the members of an external etcd, that are down (see `shoal manager ls`)"
            ) from error
        self.answered()
