"""Cluster calls: join tokens, the certificate of the authority, the store."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from manager.interfaces import NowMs
from manager.store.changes import expect, put
from manager.store.kinds import CLUSTER_SETTINGS
from manager.store.record_store import RecordStore
from manager.validation import bounds
from manager.validation.address_pool_rules import check_address_pools
from manager.validation.text_rules import check_range
from shoal.api.v1.cluster_pb2 import ClusterSettings, JoinToken
from shoal.api.v1.control_pb2 import (
    ClusterView,
    CompactStoreRequest,
    CreateJoinTokenRequest,
    CreateJoinTokenResponse,
    GetClusterRequest,
    GetStoreRequest,
    JoinTokenView,
    ListJoinTokensRequest,
    ListJoinTokensResponse,
    RemoveJoinTokensRequest,
    RemoveJoinTokensResponse,
    RotateNetworkKeysRequest,
    StoreMember,
    StoreView,
    UpdateClusterRequest,
)
from shoal.errors import Conflict, Fault, InvalidInput, PermissionDenied, Unavailable
from shoal.identity.roles import Role
from shoal.images.repository_name import parse_repository_name
from shoal.networks.address_pools import pools_in_force
from shoal.networks.overlay_encryption import key_generation
from shoal.rpc.caller import Caller


class TokenIssuer(Protocol):
    """Issues join tokens; `manager.certificate_authority.join_tokens.JoinTokens` is one."""

    async def create(self, *, ttl_ms: int, uses: int, role: JoinToken.Role.ValueType) -> tuple[str, JoinToken]: ...
    async def rotate(self, *, ttl_ms: int, uses: int, role: JoinToken.Role.ValueType) -> tuple[str, JoinToken]: ...
    async def remove(self, *identifiers: str) -> None: ...
    def list(self) -> Sequence[JoinToken]: ...


RotateKeys = Callable[[], Awaitable[int]]
"""Has nodes create new keys for encrypted networks; returns the generation."""


CheckRepository = Callable[[str], Awaitable[None]]
"""Whether the registry of a repository responds. Raises ShoalError."""


class StoreMemberStatus(Protocol):
    """Status of an etcd member, as `manager.etcd.maintenance` reports it."""

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
    @property
    def is_leader(self) -> bool: ...


class StoreMaintenance(Protocol):
    """Maintenance of the store, for operators."""

    async def status(self) -> Sequence[StoreMemberStatus]: ...
    async def compact(self) -> Sequence[StoreMemberStatus]: ...


class ClusterHandler:
    """The calls about the cluster as a whole.

    Args:
        store: the records.
        tokens: of the certificate authority.
        rotate_keys: `OverlayKeyRotation.rotate`.
        maintenance: of the store.
        quota_bytes: of each of its members' databases; 0: unknown.
        check_repository: of images, before it becomes the cluster's.
        version: of this manager.
    """

    def __init__(
        self,
        *,
        store: RecordStore,
        tokens: TokenIssuer,
        rotate_keys: RotateKeys,
        maintenance: StoreMaintenance,
        check_repository: CheckRepository,
        now_ms: NowMs,
        version: str,
        quota_bytes: int = 0,
    ) -> None:
        self._store = store
        self._quota_bytes = quota_bytes
        self._tokens = tokens
        self._rotate_keys = rotate_keys
        self._maintenance = maintenance
        self._check_repository = check_repository
        self._now_ms = now_ms
        self._version = version

    async def get(self, _: GetClusterRequest, caller: Caller) -> ClusterView:
        """Raises Unavailable before the cluster is initialized."""
        return self._view()

    async def update(self, request: UpdateClusterRequest, caller: Caller) -> ClusterView:
        """Raises InvalidInput: a setting is not valid. Unavailable: the registry does not respond. Conflict: the
        settings are not those that the update is based on. PermissionDenied: an engine asks for more than its swarm
        side, for itself or on behalf of a user.
        """
        if not request.ListFields():
            return self._view()
        if request.HasField("image_repository") and Role.ENGINE in (caller.role, caller.subject.role):
            raise PermissionDenied("the image repository is set by administrators themselves, not through an engine")
        name = await self._repository(request.image_repository) if request.image_repository else ""
        faults = [*check_range("swarm_spec", len(request.swarm_spec), 0, bounds.ENGINE_REQUEST_BYTES, "bytes")]
        faults += check_address_pools("address_pools", request.address_pools)
        if faults:
            raise InvalidInput(faults)
        version = self._store.version_of(CLUSTER_SETTINGS, "")
        if request.HasField("settings_version") and request.settings_version != version:
            raise Conflict("the cluster's settings have changed since they were read; read them again")
        settings, known = ClusterSettings(), self._store.tables.settings
        if known is not None:
            settings.CopyFrom(known)
        if request.HasField("image_repository"):
            settings.image_repository = name
        if request.HasField("swarm_hidden"):
            settings.swarm_hidden = request.swarm_hidden
        if request.HasField("swarm_spec"):
            settings.swarm_spec = request.swarm_spec
        if request.HasField("address_pools"):
            settings.address_pools.CopyFrom(request.address_pools)
        settings.meta.updated_at_ms = self._now_ms()
        await self._store.commit([put(CLUSTER_SETTINGS, "", settings)], expects=[expect(CLUSTER_SETTINGS, "", version)])
        return self._view()

    async def _repository(self, text: str) -> str:
        try:
            name = str(parse_repository_name(text))
        except InvalidInput as error:
            raise InvalidInput([Fault("image_repository", str(error))]) from error
        await self._check_repository(name)
        return name

    async def create_token(self, request: CreateJoinTokenRequest, caller: Caller) -> CreateJoinTokenResponse:
        """Raises InvalidInput: its lifetime or number of uses is too large. Exhausted: there are too many tokens."""
        created = await self._tokens.create(ttl_ms=request.ttl_ms, uses=request.uses, role=_role(request))
        return self._token_response(*created)

    async def rotate_tokens(self, request: CreateJoinTokenRequest, caller: Caller) -> CreateJoinTokenResponse:
        """Raises as `create_token`; then none is removed."""
        created = await self._tokens.rotate(ttl_ms=request.ttl_ms, uses=request.uses, role=_role(request))
        return self._token_response(*created)

    async def list_tokens(self, _: ListJoinTokensRequest, caller: Caller) -> ListJoinTokensResponse:
        return ListJoinTokensResponse(tokens=map(_token_view, self._tokens.list()))

    async def remove_tokens(self, request: RemoveJoinTokensRequest, caller: Caller) -> RemoveJoinTokensResponse:
        """Raises NotFound: an ID is unknown; then none is removed."""
        await self._tokens.remove(*request.ids)
        return RemoveJoinTokensResponse()

    async def rotate_network_keys(self, _: RotateNetworkKeysRequest, caller: Caller) -> ClusterView:
        """Raises Refused: there are none, or the last rotation is still in progress."""
        await self._rotate_keys()
        return self._view()

    async def get_store(self, _: GetStoreRequest, caller: Caller) -> StoreView:
        """Raises Unavailable: none of its members responds."""
        return self._store_view(await self._maintenance.status())

    async def compact_store(self, _: CompactStoreRequest, caller: Caller) -> StoreView:
        """Raises Unavailable: a member is unavailable or refused."""
        return self._store_view(await self._maintenance.compact())

    def _store_view(self, members: Sequence[StoreMemberStatus]) -> StoreView:
        views = [
            StoreMember(
                endpoint=each.endpoint,
                version=each.version,
                database_bytes=each.database_bytes,
                used_bytes=each.used_bytes,
                problem=each.problem,
                leader=each.is_leader,
            )
            for each in members
        ]
        return StoreView(members=views, quota_bytes=self._quota_bytes)

    def _token_response(self, token: str, record: JoinToken) -> CreateJoinTokenResponse:
        return CreateJoinTokenResponse(
            token=token, view=_token_view(record), join_addresses=self._view().join_addresses
        )

    def _view(self) -> ClusterView:
        tables = self._store.tables
        cluster = tables.cluster
        if cluster is None:
            raise Unavailable("the cluster is not initialized yet; try again in a moment")
        leader, settings = tables.leader, tables.settings or ClusterSettings()
        return ClusterView(
            id=cluster.meta.id,
            ca_certificate=cluster.ca_certificate,
            join_addresses=sorted(manager.join_address for manager in tables.managers.values()),
            manager_version=self._version,
            api_addresses=sorted(manager.api_address for manager in tables.registered_managers.values()),
            leader_id=leader.manager_id if leader is not None else "",
            image_repository=settings.image_repository,
            swarm_hidden=settings.swarm_hidden,
            swarm_spec=settings.swarm_spec,
            settings_version=self._store.version_of(CLUSTER_SETTINGS, ""),
            address_pools=pools_in_force(settings.address_pools),
            usual_address_pools=not settings.address_pools.ListFields(),
            network_key_generation=key_generation(tables.overlay_keys),
            network_keys_since_ms=tables.overlay_keys.changed_at_ms if tables.overlay_keys is not None else 0,
        )


def _role(request: CreateJoinTokenRequest) -> JoinToken.Role.ValueType:
    return request.role or JoinToken.AGENT


def _token_view(record: JoinToken) -> JoinTokenView:
    return JoinTokenView(
        id=record.meta.id,
        role=JoinToken.Role.Name(record.role).lower(),
        created_at_ms=record.meta.created_at_ms,
        expires_at_ms=record.expires_at_ms,
        uses=record.uses,
        uses_left=record.uses_left,
    )
