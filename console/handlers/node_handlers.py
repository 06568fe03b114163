"""/api/nodes/ID: one node, and what is done to it; how a task on it is reached."""

from collections.abc import Iterable
from typing import Any

from aiohttp import web

from console.json_text import message_document
from console.server.json_answers import answer, body_of, text_of
from shoal.api.v1.control_pb2 import (
    GetNodeRequest,
    ListNetworksRequest,
    ListNodesRequest,
    ListTasksRequest,
    NodeView,
    UpdateNodeRequest,
)
from shoal.api.v1.node_pb2 import NodeSpec
from shoal.api.v1.service_pb2 import PublishedPort
from shoal.api.v1.task_pb2 import Task
from shoal.errors import InvalidInput, NotFound
from shoal.manager_calls.managers import Managers

_AVAILABILITIES = {"active": NodeSpec.ACTIVE, "pause": NodeSpec.PAUSE, "drain": NodeSpec.DRAIN}


class NodeHandlers:
    """A node's calls. Lists of nodes are in the feed, but for warnings, which compare all nodes."""

    def __init__(self, managers: Managers) -> None:
        self._managers = managers
        self._control = managers.control

    def routes(self) -> Iterable[web.RouteDef]:
        """Under `/api`."""
        yield web.get("/api/node-warnings", self.warnings)
        yield web.get("/api/nodes/{node}", self.show)
        yield web.get("/api/nodes/{node}/tasks/{task}", self.show_endpoints)
        yield web.post("/api/nodes/{node}/availability", self.set_availability)
        yield web.post("/api/nodes/{node}/labels", self.set_labels)

    async def warnings(self, request: web.Request) -> web.StreamResponse:
        """By id of the node, lines each."""
        listing = await self._managers.call(self._control.ListNodes, ListNodesRequest())
        return answer({each.node.meta.id: list(each.warnings) for each in listing.nodes if each.warnings})

    async def show(self, request: web.Request) -> web.StreamResponse:
        return answer(message_document(await self._node(request)))

    async def show_endpoints(self, request: web.Request) -> web.StreamResponse:
        """Of a task on the node: its addresses on networks, and the ports that this node alone publishes for it."""
        identifier, call = request.match_info["task"], ListTasksRequest(node=request.match_info["node"])
        views = (await self._managers.call(self._control.ListTasks, call)).tasks
        task = next((each.task for each in views if each.task.id == identifier), None)
        if task is None:
            raise NotFound(f'task "{identifier}" is not on this node')
        networks = (await self._managers.call(self._control.ListNetworks, ListNetworksRequest())).networks
        return answer(_endpoints(task, {each.network.meta.id: each.network.spec.name for each in networks}))

    async def set_availability(self, request: web.Request) -> web.StreamResponse:
        chosen = _AVAILABILITIES.get(text_of(await body_of(request), "availability"))
        if chosen is None:
            raise InvalidInput(f"availability: must be one of {', '.join(_AVAILABILITIES)}")
        view = await self._node(request)
        view.node.spec.availability = chosen
        return await self._update(view)

    async def set_labels(self, request: web.Request) -> web.StreamResponse:
        """All labels of the node."""
        labels = (await body_of(request)).get("labels")
        if not isinstance(labels, dict) or not all(isinstance(value, str) for value in labels.values()):
            raise InvalidInput("labels: must be an object of texts")
        view = await self._node(request)
        view.node.spec.labels.clear()
        view.node.spec.labels.update(labels)
        return await self._update(view)

    async def _node(self, request: web.Request) -> NodeView:
        return await self._managers.call(self._control.GetNode, GetNodeRequest(node=request.match_info["node"]))

    async def _update(self, view: NodeView) -> web.StreamResponse:
        call = UpdateNodeRequest(node=view.node.meta.id, version=view.node.meta.version, spec=view.node.spec)
        await self._managers.call(self._control.UpdateNode, call)
        return answer({})


def _endpoints(task: Task, networks: dict[str, str]) -> dict[str, Any]:
    return {
        "addresses": [
            {"network": networks.get(each.network_id, each.network_id), "address": address}
            for each in task.addresses
            for address in (each.address, each.address6)
            if address
        ],
        "ports": [_port(each) for each in task.ports],
    }


def _port(port: Any) -> dict[str, Any]:
    return {
        "published": port.published,
        "target": port.target,
        "protocol": PublishedPort.Protocol.Name(port.protocol or PublishedPort.TCP).lower(),
        "mode": "host",
        "host": port.host_address,
    }
