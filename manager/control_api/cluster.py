"""The cluster: its join token, its authority's certificate, its managers."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from manager.control_api.seams import Records
from manager.store.kinds import LEADER
from manager.store.tables import Tables
from shoal.api.v1.control_pb2 import (
    ClusterView,
    GetClusterRequest,
    GetStoreRequest,
    MakeSpaceRequest,
    RotateJoinTokenRequest,
    RotateNetworkKeysRequest,
    StoreMember,
    StoreView,
)
from shoal.errors import Unavailable
from shoal.overlay_encryption import key_generation

AgentToken = Callable[[], str]
"""The token that lets a new node join."""
RotateToken = Callable[[], Awaitable[str]]
"""Makes a new one; the old one is worth nothing from then on."""
RotateKeys = Callable[[], Awaitable[int]]
"""Has nodes make new keys for encrypted networks."""


class MemberCondition(Protocol):
    """A member of the store as `manager.store.etcd_upkeep` tells it."""

    @property
    def endpoint(self) -> str: ...
    @property
    def version(self) -> str: ...
    @property
    def database_bytes(self) -> int: ...
    @property
    def used_bytes(self) -> int: ...
    @property
    def problem(self) -> str: ...


class Upkeep(Protocol):
    """What keeps the records, as an operator sees it."""

    async def condition(self) -> Sequence[MemberCondition]: ...
    async def make_space(self) -> Sequence[MemberCondition]: ...


class ClusterCalls:
    """The calls about the cluster as a whole.

    Args:
        store: the records.
        agent_token, rotate_token: the certificate authority's.
        rotate_keys: `NetworkKeys.rotate`.
        upkeep: of what keeps the records.
        version: of this manager.
    """

    def __init__(
        self,
        *,
        store: Records,
        agent_token: AgentToken,
        rotate_token: RotateToken,
        rotate_keys: RotateKeys,
        upkeep: Upkeep,
        version: str,
    ) -> None:
        self._store = store
        self._agent_token = agent_token
        self._rotate_token = rotate_token
        self._rotate_keys = rotate_keys
        self._upkeep = upkeep
        self._version = version

    async def get(self, _: GetClusterRequest) -> ClusterView:
        """Raises Unavailable before the cluster's record is there."""
        return self._view(self._agent_token())

    async def rotate(self, _: RotateJoinTokenRequest) -> ClusterView:
        return self._view(await self._rotate_token())

    async def rotate_network_keys(self, _: RotateNetworkKeysRequest) -> ClusterView:
        """Raises Refused: there are none, or the last change is under way."""
        await self._rotate_keys()
        return self._view(self._agent_token())

    async def store(self, _: GetStoreRequest) -> StoreView:
        """Raises Unavailable: none of its members answers."""
        return _store_view(await self._upkeep.condition())

    async def make_space(self, _: MakeSpaceRequest) -> StoreView:
        """Raises Unavailable: a member is away or refused it."""
        return _store_view(await self._upkeep.make_space())

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
            api_addresses=sorted(manager.api_address for manager in tables.registered_managers.values()),
            leader_id=leader.manager_id if leader is not None else "",
            network_key_generation=key_generation(tables.overlay_keys),
            network_keys_since_ms=tables.overlay_keys.since_ms if tables.overlay_keys is not None else 0,
        )


def _store_view(members: Sequence[MemberCondition]) -> StoreView:
    told = [
        StoreMember(
            endpoint=each.endpoint,
            version=each.version,
            database_bytes=each.database_bytes,
            used_bytes=each.used_bytes,
            problem=each.problem,
        )
        for each in members
    ]
    return StoreView(members=told)
