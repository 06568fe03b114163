"""Whether clients see the swarm side: services, tasks, nodes, secrets and configs.

The cluster is there whatever a client does. `docker swarm leave --force` hides this side from all clients, and
`docker swarm init` shows it again; nothing is removed.
"""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress

from shoal.api.v1.cluster_pb2 import AddressPools
from shoal.api.v1.control_pb2 import GetClusterRequest, UpdateClusterRequest
from shoal.errors import ShoalError
from shoal.manager_calls.managers import Managers

PING_SECONDS = 1.0
"""For the managers to respond while a client waits for `_ping`."""
FRESH_SECONDS = 1.0
"""For so long `_ping` takes the setting for what it was."""
RECENT_SECONDS = 10.0
"""For so long it answers with what it was, and asks meanwhile: of other engines' changes, one answer is older."""


class SwarmSide:
    """The setting that all engines of a cluster share.

    Args:
        seconds: a clock that never goes back.
    """

    def __init__(self, managers: Managers, seconds: Callable[[], float] = time.monotonic) -> None:
        self._managers = managers
        self._seconds = seconds
        self._last_known, self._known_at = True, float("-inf")
        self._changes = 0
        self._asking: asyncio.Task[None] | None = None

    async def is_shown(self, *, seconds: float | None = None) -> bool:
        """
        Args:
            seconds: that the managers may take; None: as for any call.
        Raises:
            ShoalError: no manager responds.
        """
        get, request, changes = self._managers.control.GetCluster, GetClusterRequest(), self._changes
        if seconds is None:
            cluster = await self._managers.call(get, request)
        else:
            cluster = await self._managers.call(get, request, seconds=seconds)
        if changes == self._changes:  # else the answer may be of before
            self._last_known, self._known_at = not cluster.swarm_hidden, self._seconds()
        return not cluster.swarm_hidden

    async def was_shown(self) -> bool:
        """For `_ping`, with which clients begin: at once where it was known a moment ago, and without managers too, as
        they last said."""
        age = self._seconds() - self._known_at
        if age > RECENT_SECONDS:
            await self._ask()
        elif age > FRESH_SECONDS and (self._asking is None or self._asking.done()):
            self._asking = asyncio.create_task(self._ask())
        return self._last_known

    async def _ask(self) -> None:
        with suppress(ShoalError):
            await self.is_shown(seconds=PING_SECONDS)

    async def show(self, spec: bytes, pools: AddressPools) -> None:
        """
        Args:
            spec: that the client has sent, as it is kept; empty: the one before.
            pools: for networks that are made from now on; empty: the usual ones.
        """
        request = UpdateClusterRequest(swarm_hidden=False, swarm_spec=spec or None, address_pools=pools)
        await self._update(request)

    async def hide(self) -> None:
        await self._update(UpdateClusterRequest(swarm_hidden=True))

    async def _update(self, request: UpdateClusterRequest) -> None:
        self._changes += 1
        try:
            await self._managers.call(self._managers.control.UpdateCluster, request)
        finally:  # what is asked meanwhile may be of before; where it failed, it may be done all the same
            self._changes += 1
            self._known_at = float("-inf")
