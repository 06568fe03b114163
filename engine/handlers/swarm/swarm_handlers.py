"""The swarm as a whole: inspect, init, join, leave, update. The cluster is there, whatever a client asks for."""

from collections.abc import Iterable
from http import HTTPStatus

from aiohttp import web

from engine.cluster.home_node import HomeNode
from engine.cluster.swarm_side import SwarmSide
from engine.handlers.swarm.node_handlers import OUT_OF_SEQUENCE, version_of
from engine.handlers.swarm.swarm_guard import guarded
from engine.protocol.errors import ApiError, conflict, not_implemented
from engine.server.call import Call
from engine.server.routes import Route
from engine.translate.fields import Fields
from engine.translate.swarm.swarm_cluster import (
    NO_AUTOLOCK,
    check_data_path,
    cluster_document,
    join_tokens_document,
    read_address_pools,
    read_swarm_spec,
)
from shoal.api.v1.control_pb2 import (
    CreateJoinTokenRequest,
    GetClusterRequest,
    JoinTokenView,
    ListJoinTokensRequest,
    UpdateClusterRequest,
)
from shoal.errors import Conflict, PermissionDenied
from shoal.manager_calls.managers import Managers

ALREADY_PART = (
    'This node is already part of a swarm. Use "docker swarm leave" to leave this swarm and join another one.'
)
NOT_PART = "This node is not part of a swarm"
LAST_MANAGER = (
    "You are attempting to leave the swarm on a node that is participating as a manager. The cluster stays as it is: "
    "use `--force` to hide its services, nodes, secrets and configs from Docker's clients."
)


class SwarmHandlers:
    """The operations on the swarm. To leave it hides this side from all clients; to make one shows it again."""

    def __init__(self, managers: Managers, home: HomeNode, side: SwarmSide) -> None:
        self._managers = managers
        self._control = managers.control
        self._home = home
        self._side = side

    def routes(self) -> list[Route]:
        return [
            *guarded(self._shown_routes(), self._side),
            Route("POST", "/swarm/init", self.init, "SwarmInit", remark="shows the swarm side again; else 503"),
            Route("POST", "/swarm/join", self.join, "SwarmJoin", remark="503, 501: hosts join by shoal-agent --join"),
            Route("POST", "/swarm/leave", self.leave, "SwarmLeave", remark="with force: hides the swarm side"),
            Route("POST", "/swarm/unlock", self.unlock, "SwarmUnlock", remark="409: never locked"),
        ]

    def _shown_routes(self) -> list[Route]:
        return [
            Route("GET", "/swarm", self.inspect, "SwarmInspect", remark="of join tokens their ids, to administrators"),
            Route("POST", "/swarm/update", self.update, "SwarmUpdate", remark="the spec is kept, and is not used"),
            Route("GET", "/swarm/unlockkey", self.unlock_key, "SwarmUnlockkey", remark="always empty: no autolock"),
        ]

    async def inspect(self, call: Call) -> web.StreamResponse:
        """The cluster, with Docker's defaults for what Shoal does not have."""
        cluster = await self._managers.call(self._control.GetCluster, GetClusterRequest())
        return call.json(cluster_document(cluster) | {"JoinTokens": join_tokens_document(await self._tokens())})

    async def init(self, call: Call) -> web.StreamResponse:
        """Shows the swarm side again. The answer is the home node's id.

        Raises:
            ApiError: 503, it is shown.
        """
        body = Fields(await call.json_object())
        spec = body.nested("Spec")
        kept = read_swarm_spec(spec.document, call.version) if spec.document else b""
        if body.boolean("AutoLockManagers"):
            raise not_implemented(NO_AUTOLOCK)
        check_data_path(body)
        pools = read_address_pools(body)
        if await self._side.is_shown():
            raise ApiError(HTTPStatus.SERVICE_UNAVAILABLE, ALREADY_PART)
        await self._side.show(kept, pools)
        home = await self._home.find()
        return call.json(home.node.meta.id if home is not None else "")

    async def join(self, _: Call) -> web.StreamResponse:
        """
        Raises:
            ApiError: 503, the cluster is there; 501, while it is hidden.
        """
        if await self._side.is_shown():
            raise ApiError(HTTPStatus.SERVICE_UNAVAILABLE, ALREADY_PART)
        raise not_implemented("hosts join a cluster by `shoal-agent --join`; `docker swarm init` shows this one again")

    async def leave(self, call: Call) -> web.StreamResponse:
        """Hides the swarm side from all clients; nothing is removed, and services run on.

        Raises:
            ApiError: 503, it is hidden; or the client has not said `force`.
        """
        if not await self._side.is_shown():
            raise ApiError(HTTPStatus.SERVICE_UNAVAILABLE, NOT_PART)
        if not call.boolean("force"):
            raise ApiError(HTTPStatus.SERVICE_UNAVAILABLE, LAST_MANAGER)
        await self._side.hide()
        return call.empty(HTTPStatus.OK)

    async def update(self, call: Call) -> web.StreamResponse:
        """Keeps the spec, on top of the version that the client has read; rotates the token by which workers join."""
        version, kept = version_of(call), read_swarm_spec(await call.json_object(), call.version)
        if call.boolean("rotateManagerToken") or call.boolean("rotateManagerUnlockKey"):
            raise not_implemented("managers do not join by tokens of this API, and are never locked")
        try:
            await self._managers.call(
                self._control.UpdateCluster, UpdateClusterRequest(swarm_spec=kept, settings_version=version)
            )
        except Conflict as error:
            raise ApiError(HTTPStatus.INTERNAL_SERVER_ERROR, OUT_OF_SEQUENCE) from error
        if call.boolean("rotateWorkerToken"):
            await self._managers.call(self._control.RotateJoinTokens, CreateJoinTokenRequest())
        return call.empty(HTTPStatus.OK)

    async def _tokens(self) -> Iterable[JoinTokenView]:
        """None where the engine may not know them: those of role engine."""
        try:
            listed = await self._managers.call(self._control.ListJoinTokens, ListJoinTokensRequest())
        except PermissionDenied:
            return ()
        return listed.tokens

    async def unlock_key(self, call: Call) -> web.StreamResponse:
        return call.json({"UnlockKey": ""})

    async def unlock(self, _: Call) -> web.StreamResponse:
        """
        Raises:
            ApiError: 409.
        """
        raise conflict("swarm is not locked")
