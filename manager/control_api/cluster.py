"""The cluster: its join tokens, its authority's certificate, its managers."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from manager.control_api.seams import Records
from manager.store.kinds import LEADER
from manager.store.tables import Tables
from shoal.api.v1.cluster_pb2 import JoinToken
from shoal.api.v1.control_pb2 import (
    ClusterView,
    CreateJoinTokenRequest,
    CreateJoinTokenResponse,
    GetClusterRequest,
    GetStoreRequest,
    JoinTokenView,
    ListJoinTokensRequest,
    ListJoinTokensResponse,
    MakeSpaceRequest,
    RemoveJoinTokensRequest,
    RemoveJoinTokensResponse,
    RotateNetworkKeysRequest,
    StoreMember,
    StoreView,
)
from shoal.errors import Unavailable
from shoal.overlay_encryption import key_generation


class Tokens(Protocol):
    """What admits new nodes; `manager.certificate_authority.join_tokens.JoinTokens` is one."""

    async def create(self, *, ttl_ms: int, uses: int) -> tuple[str, JoinToken]: ...
    async def rotate(self, *, ttl_ms: int, uses: int) -> tuple[str, JoinToken]: ...
    async def remove(self, *identifiers: str) -> None: ...
    def list(self) -> Sequence[JoinToken]: ...


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
        tokens: the certificate authority's.
        rotate_keys: `NetworkKeys.rotate`.
        upkeep: of what keeps the records.
        version: of this manager.
    """

    def __init__(
        self,
        *,
        store: Records,
        tokens: Tokens,
        rotate_keys: RotateKeys,
        upkeep: Upkeep,
        version: str,
    ) -> None:
        self._store = store
        self._tokens = tokens
        self._rotate_keys = rotate_keys
        self._upkeep = upkeep
        self._version = version

    async def get(self, _: GetClusterRequest) -> ClusterView:
        """Raises Unavailable before the cluster's record is there."""
        return self._view()

    async def create_token(self, request: CreateJoinTokenRequest) -> CreateJoinTokenResponse:
        """Raises InvalidInput: it would last too long, or be for too many. Exhausted: there are too many tokens."""
        return self._told(*await self._tokens.create(ttl_ms=request.ttl_ms, uses=request.uses))

    async def rotate_tokens(self, request: CreateJoinTokenRequest) -> CreateJoinTokenResponse:
        """Raises as `create_token`; then none is removed."""
        return self._told(*await self._tokens.rotate(ttl_ms=request.ttl_ms, uses=request.uses))

    async def list_tokens(self, _: ListJoinTokensRequest) -> ListJoinTokensResponse:
        return ListJoinTokensResponse(tokens=map(_token_view, self._tokens.list()))

    async def remove_tokens(self, request: RemoveJoinTokensRequest) -> RemoveJoinTokensResponse:
        """Raises NotFound: there is none of that id; then none is removed."""
        await self._tokens.remove(*request.ids)
        return RemoveJoinTokensResponse()

    async def rotate_network_keys(self, _: RotateNetworkKeysRequest) -> ClusterView:
        """Raises Refused: there are none, or the last change is under way."""
        await self._rotate_keys()
        return self._view()

    async def store(self, _: GetStoreRequest) -> StoreView:
        """Raises Unavailable: none of its members answers."""
        return _store_view(await self._upkeep.condition())

    async def make_space(self, _: MakeSpaceRequest) -> StoreView:
        """Raises Unavailable: a member is away or refused it."""
        return _store_view(await self._upkeep.make_space())

    def _told(self, token: str, record: JoinToken) -> CreateJoinTokenResponse:
        return CreateJoinTokenResponse(
            token=token, view=_token_view(record), join_addresses=self._view().join_addresses
        )

    def _view(self) -> ClusterView:
        tables: Tables = self._store.tables
        cluster = tables.cluster
        if cluster is None:
            raise Unavailable("the cluster is not set up yet; try again in a moment")
        leader = tables.rows(LEADER).get("")
        return ClusterView(
            id=cluster.meta.id,
            ca_certificate=cluster.ca_certificate,
            join_addresses=sorted(manager.join_address for manager in tables.managers.values()),
            manager_version=self._version,
            api_addresses=sorted(manager.api_address for manager in tables.registered_managers.values()),
            leader_id=leader.manager_id if leader is not None else "",
            network_key_generation=key_generation(tables.overlay_keys),
            network_keys_since_ms=tables.overlay_keys.since_ms if tables.overlay_keys is not None else 0,
        )


def _token_view(record: JoinToken) -> JoinTokenView:
    return JoinTokenView(
        id=record.meta.id,
        role=JoinToken.Role.Name(record.role).lower(),
        created_at_ms=record.meta.created_at_ms,
        expires_at_ms=record.expires_at_ms,
        uses=record.uses,
        uses_left=record.uses_left,
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
