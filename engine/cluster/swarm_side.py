"""Whether clients see the swarm side: services, tasks, nodes, secrets and configs.

The cluster is there whatever a client does. `docker swarm leave --force` hides this side from all clients, and
`docker swarm init` shows it again; nothing is removed.
"""

from contextlib import suppress

from shoal.api.v1.cluster_pb2 import AddressPools
from shoal.api.v1.control_pb2 import GetClusterRequest, UpdateClusterRequest
from shoal.errors import ShoalError
from shoal.manager_calls.managers import Managers

PING_SECONDS = 1.0
"""For the managers to respond while a client waits for `_ping`."""


class SwarmSide:
    """The setting that all engines of a cluster share."""

    def __init__(self, managers: Managers) -> None:
        self._managers = managers
        self._last_known = True

    async def is_shown(self, *, seconds: float | None = None) -> bool:
        """
        Args:
            seconds: that the managers may take; None: as for any call.
        Raises:
            ShoalError: no manager responds.
        """
        get, request = self._managers.control.GetCluster, GetClusterRequest()
        if seconds is None:
            cluster = await self._managers.call(get, request)
        else:
            cluster = await self._managers.call(get, request, seconds=seconds)
        self._last_known = not cluster.swarm_hidden
        return self._last_known

    async def was_shown(self) -> bool:
        """For `_ping`, which answers without managers too: as they last said."""
        with suppress(ShoalError):
            return await self.is_shown(seconds=PING_SECONDS)
        return self._last_known

    async def show(self, spec: bytes, pools: AddressPools) -> None:
        """
        Args:
            spec: that the client has sent, as it is kept; empty: the one before.
            pools: for networks that are made from now on; empty: the usual ones.
        """
        request = UpdateClusterRequest(swarm_hidden=False, swarm_spec=spec or None, address_pools=pools)
        await self._managers.call(self._managers.control.UpdateCluster, request)

    async def hide(self) -> None:
        await self._managers.call(self._managers.control.UpdateCluster, UpdateClusterRequest(swarm_hidden=True))
