"""The cluster: its join token, its authority's certificate, its managers."""

from collections.abc import Awaitable, Callable

from manager.control_api.seams import Records
from manager.store.kinds import LEADER
from manager.store.tables import Tables
from shoal.api.v1.control_pb2 import ClusterView, GetClusterRequest, RotateJoinTokenRequest
from shoal.errors import Unavailable

AgentToken = Callable[[], str]
"""The token that lets a new node join."""
RotateToken = Callable[[], Awaitable[str]]
"""Makes a new one; the old one is worth nothing from then on."""


class ClusterCalls:
    """The calls about the cluster as a whole.

    Args:
        store: the records.
        agent_token, rotate_token: the certificate authority's.
        version: of this manager.
    """

    def __init__(self, *, store: Records, agent_token: AgentToken, rotate_token: RotateToken, version: str) -> None:
        self._store = store
        self._agent_token = agent_token
        self._rotate_token = rotate_token
        self._version = version

    async def get(self, _: GetClusterRequest) -> ClusterView:
        """Raises Unavailable before the cluster's record is there."""
        return self._view(self._agent_token())

    async def rotate(self, _: RotateJoinTokenRequest) -> ClusterView:
        return self._view(await self._rotate_token())

    def _view(self, token: str) -> ClusterView:
        tables: Tables = self._store.tables
        cluster = tables.cluster
        if cluster is None:
            raise Unavailable("the cluster is not set up yet; try again in a moment")
        leader = tables.rows(LEADER).get("")
        return ClusterView(
            id=cluster.meta.id,
            agent_join_token=token,
            ca_certificate=cluster.ca_certificate,
            join_addresses=sorted(manager.join_address for manager in tables.managers.values()),
            manager_version=self._version,
            leader_id=leader.manager_id if leader is not None else "",
        )
