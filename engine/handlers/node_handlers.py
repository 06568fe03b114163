"""Nodes: list, inspect, update, remove; and the cluster as a swarm."""

import asyncio
from collections.abc import Iterable, Sequence
from http import HTTPStatus
from typing import Any

from aiohttp import web

from engine.cluster.home_node import HomeNode
from engine.cluster.managers import Managers
from engine.protocol.errors import ApiError, bad_request, conflict, not_found, not_implemented
from engine.protocol.parameters import check_keys
from engine.server.call import Call
from engine.server.routes import Route
from engine.server.server_headers import ENGINE_VERSION
from engine.translate.fields import Fields
from engine.translate.swarm.swarm_cluster import cluster_document, tls_document
from engine.translate.swarm.swarm_nodes import matches, node_document, read_node_spec
from shoal.api.v1.control_pb2 import (
    CreateJoinTokenRequest,
    GetClusterRequest,
    GetNodeRequest,
    ListManagersRequest,
    ListNodesRequest,
    NodeView,
    RemoveNodeRequest,
    UpdateNodeRequest,
)
from shoal.errors import Conflict, InvalidInput, NotFound, Refused

FILTERS = ("id", "label", "membership", "name", "node.label", "role")
OUT_OF_SEQUENCE = "rpc error: code = Unknown desc = update out of sequence"
ALREADY_PART = (
    'This node is already part of a swarm. Use "docker swarm leave" to leave this swarm and join another one.'
)


class NodeHandlers:
    """The operations on nodes, and on the swarm: the cluster is there, whatever a client asks for."""

    def __init__(self, managers: Managers, home: HomeNode) -> None:
        self._managers = managers
        self._control = managers.control
        self._home = home

    def routes(self) -> list[Route]:
        return [
            Route("GET", "/nodes", self.list, "NodeList"),
            Route("GET", "/nodes/{id}", self.inspect, "NodeInspect"),
            Route("DELETE", "/nodes/{id}", self.remove, "NodeDelete"),
            Route("POST", "/nodes/{id}/update", self.update, "NodeUpdate", remark="availability and labels"),
            Route("GET", "/swarm", self.swarm, "SwarmInspect", remark="join tokens are shown only at their creation"),
            Route("POST", "/swarm/init", self.init, "SwarmInit", remark="503: the cluster is there"),
            Route("POST", "/swarm/join", self.init, "SwarmJoin", remark="503: hosts join by shoal-agent --join"),
            Route("POST", "/swarm/leave", self.leave, "SwarmLeave", remark="501: hosts leave by shoal node rm"),
            Route("POST", "/swarm/update", self.update_swarm, "SwarmUpdate", remark="rotation of the worker's token"),
            Route("GET", "/swarm/unlockkey", self.unlock_key, "SwarmUnlockkey", remark="always empty: no autolock"),
            Route("POST", "/swarm/unlock", self.unlock, "SwarmUnlock", remark="409: never locked"),
        ]

    async def list(self, call: Call) -> web.StreamResponse:
        filters = call.filters()
        check_keys(filters, FILTERS)
        listed = await self._managers.call(self._control.ListNodes, ListNodesRequest())
        documents = await self._documents(listed.nodes)
        return call.json([each for each in documents if matches(each, filters)])

    async def inspect(self, call: Call) -> web.StreamResponse:
        return call.json(await self._document(await self._find(call.parameters["id"])))

    async def update(self, call: Call) -> web.StreamResponse:
        """Availability and labels; a role cannot be changed."""
        view = await self._find(call.parameters["id"])
        role = (await self._document(view))["Spec"]["Role"]
        spec = read_node_spec(await call.json_object(), view.node.spec, role=role)
        request = UpdateNodeRequest(node=view.node.meta.id, version=version_of(call), spec=spec)
        try:
            await self._managers.call(self._control.UpdateNode, request)
        except Conflict as error:
            raise ApiError(HTTPStatus.INTERNAL_SERVER_ERROR, OUT_OF_SEQUENCE) from error
        return call.empty(200)

    async def remove(self, call: Call) -> web.StreamResponse:
        view = await self._find(call.parameters["id"])
        request = RemoveNodeRequest(node=view.node.meta.id, force=call.boolean("force"))
        try:
            await self._managers.call(self._control.RemoveNode, request)
        except Refused as error:
            raise bad_request(f"rpc error: code = FailedPrecondition desc = {error}") from error
        return call.empty(200)

    async def swarm(self, call: Call) -> web.StreamResponse:
        """The cluster, with Docker's defaults for what Shoal does not have."""
        cluster = await self._managers.call(self._control.GetCluster, GetClusterRequest())
        return call.json(cluster_document(cluster) | {"JoinTokens": {"Worker": "", "Manager": ""}})

    async def init(self, _: Call) -> web.StreamResponse:
        """
        Raises:
            ApiError: 503, the cluster is there.
        """
        raise ApiError(HTTPStatus.SERVICE_UNAVAILABLE, ALREADY_PART)

    async def leave(self, _: Call) -> web.StreamResponse:
        """
        Raises:
            ApiError: 501.
        """
        raise not_implemented("a cluster is not left through this API: remove nodes with `shoal node rm`")

    async def update_swarm(self, call: Call) -> web.StreamResponse:
        """Rotates the token by which workers join. The spec itself is fixed."""
        body = Fields(await call.json_object())
        if call.boolean("rotateManagerToken") or call.boolean("rotateManagerUnlockKey"):
            raise not_implemented("managers do not join by tokens of this API, and are never locked")
        if body.nested("EncryptionConfig").boolean("AutoLockManagers"):
            raise not_implemented("autolock is not supported: keys are files of the managers")
        if call.boolean("rotateWorkerToken"):
            await self._managers.call(self._control.RotateJoinTokens, CreateJoinTokenRequest())
        return call.empty(200)

    async def unlock_key(self, call: Call) -> web.StreamResponse:
        return call.json({"UnlockKey": ""})

    async def unlock(self, _: Call) -> web.StreamResponse:
        """
        Raises:
            ApiError: 409.
        """
        raise conflict("swarm is not locked")

    async def _document(self, view: NodeView) -> dict[str, Any]:
        (document,) = await self._documents([view])
        return document

    async def _documents(self, views: Iterable[NodeView]) -> Sequence[dict[str, Any]]:
        known, cluster = await asyncio.gather(
            self._managers.call(self._control.ListManagers, ListManagersRequest()),
            self._managers.call(self._control.GetCluster, GetClusterRequest()),
        )
        tls = tls_document(cluster.ca_certificate)
        return [node_document(each, known.managers, engine_version=ENGINE_VERSION, tls=tls) for each in views]

    async def _find(self, name: str) -> NodeView:
        if name == "self":
            home = await self._home.find()
            if home is None:
                raise not_found("node self not found")
            return home
        try:
            return await self._managers.call(self._control.GetNode, GetNodeRequest(node=name))
        except NotFound:
            raise not_found(f"node {name} not found") from None
        except InvalidInput as error:
            raise bad_request(f"node {name} is ambiguous: {error}") from error


def version_of(call: Call) -> int:
    """The version that a client has read, which an update names.

    Raises:
        ApiError: 400, there is none.
    """
    if not call.text("version"):
        raise bad_request("invalid version '': strconv.ParseUint: parsing \"\": invalid syntax")
    return call.integer("version", 0)
