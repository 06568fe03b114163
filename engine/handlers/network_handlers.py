"""Networks: list, inspect, create, connect, disconnect, remove, prune."""

import time
from http import HTTPStatus

from aiohttp import web

from engine.cluster.container_lookup import ContainerLookup
from engine.cluster.removals import wait_until_gone
from engine.protocol.errors import ApiError, bad_request, conflict, not_found
from engine.protocol.parameters import boolean_filter, check_keys
from engine.server.call import Call
from engine.server.routes import Route
from engine.translate.containers.container_facts import identifier
from engine.translate.containers.container_networks import read_endpoint, read_mac_address
from engine.translate.fields import Fields
from engine.translate.networks import (
    INGRESS,
    builtin_document,
    endpoints_document,
    ingress_view,
    matches,
    network_document,
    pool_endpoints_document,
    read_network,
)
from engine.translate.object_ids import builtin_network_id, docker_id, reference
from engine.translate.prune_filters import prune_filters
from engine.translate.stack_labels import STACK_LABEL, with_stack
from shoal.api.v1.control_pb2 import (
    CreateNetworkRequest,
    GetNetworkRequest,
    ListNetworksRequest,
    NetworkView,
    RemoveNetworkRequest,
)
from shoal.api.v1.engine_pb2 import ConnectContainerRequest, DisconnectContainerRequest, ListContainersRequest
from shoal.container_ids import is_beginning
from shoal.errors import AlreadyExists, InvalidInput, NotFound, Refused
from shoal.filters.filter_set import has_label
from shoal.manager_calls.managers import Managers
from shoal.networks.network_modes import BRIDGE, HOST, NONE

FILTERS = ("dangling", "driver", "id", "label", "name", "scope", "type")
BUILTIN = (NONE, HOST, BRIDGE)


class NetworkHandlers:
    """The operations on networks."""

    def __init__(self, managers: Managers, lookup: ContainerLookup) -> None:
        self._managers = managers
        self._control = managers.control
        self._lookup = lookup

    def routes(self) -> list[Route]:
        return [
            Route("GET", "/networks", self.list, "NetworkList"),
            Route("POST", "/networks/create", self.create, "NetworkCreate"),
            Route("POST", "/networks/prune", self.prune, "NetworkPrune"),
            Route("GET", "/networks/{id}", self.inspect, "NetworkInspect"),
            Route("POST", "/networks/{id}/connect", self.connect, "NetworkConnect"),
            Route("POST", "/networks/{id}/disconnect", self.disconnect, "NetworkDisconnect"),
            Route("DELETE", "/networks/{id}", self.remove, "NetworkDelete"),
        ]

    async def list(self, call: Call) -> web.StreamResponse:
        """Those of the cluster, the three that every node has, and the routing mesh's also before it is there."""
        filters = dict(call.filters())
        check_keys(filters, FILTERS)
        listed = [*(await self._managers.call(self._control.ListNetworks, ListNetworksRequest())).networks]
        used = {each.network.meta.id for each in listed if each.services or each.addresses}
        if "dangling" in filters:
            dangling = boolean_filter(filters, "dangling", default=False)
            listed = [each for each in listed if (each.network.meta.id not in used) == dangling]
            del filters["dangling"]
            builtin = []
        else:
            if not any(each.network.meta.id == INGRESS for each in listed):
                listed.append(ingress_view())
            builtin = [builtin_document(mode, builtin_network_id(mode), call.version) for mode in BUILTIN]
        shown = [each for each in listed if not each.network.removing]
        documents = [*builtin, *(network_document(each, call.version) for each in shown)]
        return call.json([each for each in documents if matches(each, filters)])

    async def inspect(self, call: Call) -> web.StreamResponse:
        """With what is on it."""
        name = call.parameters["id"]
        mode = _builtin(name)
        listed = await self._managers.call(self._managers.containers.ListContainers, ListContainersRequest())
        if mode:
            found = pool_endpoints_document(listed.containers if mode == BRIDGE else (), builtin_network_id(mode))
            return call.json(builtin_document(mode, builtin_network_id(mode), call.version, containers=found))
        view = await self._find(name)
        by_task = {each.task.id: each for each in listed.containers}
        document = network_document(view, call.version, containers=endpoints_document(view, by_task))
        if (scope := call.text("scope")) and document["Scope"] != scope:
            raise _no_network(name)
        return call.json(document)

    async def create(self, call: Call) -> web.StreamResponse:
        """Over all nodes, whatever driver clients say."""
        spec = read_network(await call.json_object(), call.version)
        request = CreateNetworkRequest(spec=spec, mesh=spec.name == INGRESS)
        try:
            made = await self._managers.call(self._control.CreateNetwork, request)
        except AlreadyExists as error:
            raise conflict(f"network with name {spec.name} already exists") from error
        warnings = " ".join(made.warnings)
        return call.json({"Id": docker_id(made.network.meta.id), "Warning": warnings}, HTTPStatus.CREATED)

    async def connect(self, call: Call) -> web.StreamResponse:
        """A container, running or not."""
        body = Fields(await call.json_object())
        network, _ = await self._joinable(call.parameters["id"])
        view = await self._lookup.own(body.text("Container"))
        endpoint = body.nested("EndpointConfig")
        request = ConnectContainerRequest(
            container=view.container.meta.id,
            attachment=read_endpoint(network, endpoint),
            mac_address=read_mac_address(endpoint),
        )
        try:
            await self._managers.call(self._managers.containers.ConnectContainer, request)
        except (Refused, AlreadyExists) as error:
            raise ApiError(HTTPStatus.FORBIDDEN, str(error)) from error
        return call.empty(HTTPStatus.OK)

    async def disconnect(self, call: Call) -> web.StreamResponse:
        """A container, running or not."""
        body = Fields(await call.json_object())
        network, name = await self._joinable(call.parameters["id"])
        view = await self._lookup.own(body.text("Container"))
        request = DisconnectContainerRequest(
            container=view.container.meta.id, network=network, force=body.boolean("Force")
        )
        try:
            await self._managers.call(self._managers.containers.DisconnectContainer, request)
        except (Refused, NotFound, InvalidInput) as error:
            text = f"container {identifier(view)} is not connected to network {name}"
            raise ApiError(HTTPStatus.FORBIDDEN, text) from error
        return call.empty(HTTPStatus.OK)

    async def remove(self, call: Call) -> web.StreamResponse:
        """Refused while something is on it."""
        network = await self._changeable(call.parameters["id"])
        request = RemoveNetworkRequest(network=network.network.meta.id)
        try:
            await self._managers.call(self._control.RemoveNetwork, request)
        except NotFound:
            if request.network == INGRESS:  # not made yet
                return call.empty()
            raise
        except Refused as error:
            name, digits = network.network.spec.name, docker_id(network.network.meta.id)
            text = f"error while removing network: network {name} id {digits} has active endpoints: {error}"
            raise ApiError(HTTPStatus.FORBIDDEN, text) from error
        await wait_until_gone(
            lambda: self._managers.call(self._control.GetNetwork, GetNetworkRequest(network=request.network))
        )
        return call.empty()

    async def prune(self, call: Call) -> web.StreamResponse:
        """All that nothing is on, but those of stacks."""
        now_ms = time.time_ns() // 1_000_000
        filters = prune_filters(call.filters(), ("label", "label!", "until"), now_ms=now_ms)
        listed = (await self._managers.call(self._control.ListNetworks, ListNetworksRequest())).networks
        removed = []
        for each in listed:
            if each.services or each.addresses or each.network.meta.id == INGRESS or not _prunable(each, filters):
                continue
            try:
                request = RemoveNetworkRequest(network=each.network.meta.id)
                await self._managers.call(self._control.RemoveNetwork, request)
            except (Refused, NotFound):
                continue
            removed.append(each.network.spec.name)
        return call.json({"NetworksDeleted": removed or None})

    async def name_of(self, name: str) -> str:
        """The name of a network by its name or an id. Raises ApiError: 404."""
        view = await self._find(name)
        return view.network.spec.name

    async def _find(self, name: str) -> NetworkView:
        try:
            return await self._managers.call(self._control.GetNetwork, GetNetworkRequest(network=reference(name)))
        except NotFound:
            return await self._find_by_digits(name)
        except InvalidInput as error:
            raise bad_request(f"network {name} is ambiguous: {error}") from error

    async def _find_by_digits(self, name: str) -> NetworkView:
        """By the beginning of an id as Docker's clients have it."""
        listed = (await self._managers.call(self._control.ListNetworks, ListNetworksRequest())).networks
        if name == INGRESS or (is_beginning(name) and docker_id(INGRESS).startswith(name)):
            return next((each for each in listed if each.network.meta.id == INGRESS), ingress_view())
        found = [each for each in listed if is_beginning(name) and docker_id(each.network.meta.id).startswith(name)]
        if len(found) > 1:
            raise bad_request(f"network {name} is ambiguous ({len(found)} matches found based on ID prefix)")
        if not found:
            raise _no_network(name)
        return await self._managers.call(self._control.GetNetwork, GetNetworkRequest(network=found[0].network.meta.id))

    async def _joinable(self, name: str) -> tuple[str, str]:
        """What managers take for a network that containers can join and leave, and its name: `bridge` is one too."""
        if _builtin(name) == BRIDGE:
            return BRIDGE, BRIDGE
        view = await self._changeable(name)
        return view.network.meta.id, view.network.spec.name

    async def _changeable(self, name: str) -> NetworkView:
        if mode := _builtin(name):
            raise ApiError(HTTPStatus.FORBIDDEN, f"{mode} is a pre-defined network and cannot be changed")
        return await self._find(name)


def _builtin(name: str) -> str:
    """The one of the three that a name or an id means; empty for another network."""
    for mode in BUILTIN:
        if name == mode or (len(name) >= 4 and builtin_network_id(mode).startswith(name)):
            return mode
    return ""


def _no_network(name: str) -> ApiError:
    return not_found(f"network {name} not found")


def _prunable(view: NetworkView, filters: dict[str, list[str]]) -> bool:
    spec = view.network.spec
    labels = with_stack(spec.labels, spec.stack)
    until = filters.get("until")
    if until and view.network.meta.created_at_ms > int(until[0]):
        return False
    if any(has_label(labels, text) for text in filters.get("label!", ())):
        return False
    return STACK_LABEL not in labels and all(has_label(labels, text) for text in filters.get("label", ()))
