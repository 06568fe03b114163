"""Nodes: list, inspect, update, remove; and the cluster as a swarm."""

import asyncio
from collections.abc import Iterable, Sequence
from http import HTTPStatus
from typing import Any

from aiohttp import web

from engine.cluster.home_node import HomeNode
from engine.protocol.errors import ApiError, bad_request, not_found
from engine.protocol.parameters import check_keys
from engine.server.call import Call
from engine.server.routes import Route
from engine.server.server_headers import ENGINE_VERSION
from engine.translate.swarm.swarm_cluster import tls_document
from engine.translate.swarm.swarm_nodes import matches, node_document, read_node_spec
from shoal.api.v1.control_pb2 import (
    GetClusterRequest,
    GetNodeRequest,
    ListManagersRequest,
    ListNodesRequest,
    NodeView,
    RemoveNodeRequest,
    UpdateNodeRequest,
)
from shoal.errors import Conflict, InvalidInput, NotFound, Refused
from shoal.manager_calls.managers import Managers

FILTERS = ("id", "label", "membership", "name", "node.label", "role")
IS_MANAGER = (
    "is a cluster manager and is a member of the raft cluster. It must be demoted to worker before removal: "
    "stop the manager on its host and remove it with `shoal manager rm`"
)
OUT_OF_SEQUENCE = "rpc error: code = Unknown desc = update out of sequence"


class NodeHandlers:
    """The operations on nodes."""

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
        """A node that is down, or by force. One with a manager on its host stays, as with Docker.

        Raises:
            ApiError: 400, it has to stay.
        """
        view = await self._find(call.parameters["id"])
        if (await self._document(view))["Spec"]["Role"] == "manager":
            raise bad_request(f"rpc error: code = FailedPrecondition desc = node {view.node.meta.id} {IS_MANAGER}")
        request = RemoveNodeRequest(node=view.node.meta.id, force=call.boolean("force"))
        try:
            await self._managers.call(self._control.RemoveNode, request)
        except Refused as error:
            raise bad_request(f"rpc error: code = FailedPrecondition desc = {error}") from error
        return call.empty(200)

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
