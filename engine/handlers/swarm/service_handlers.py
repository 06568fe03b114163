"""Services and tasks: list, inspect, create, update, remove."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from http import HTTPStatus
from typing import TypeVar

from aiohttp import web

from engine.handlers.restrictions import Restrictions
from engine.handlers.swarm.node_handlers import OUT_OF_SEQUENCE, version_of
from engine.protocol.errors import ApiError, bad_request, conflict, not_found
from engine.protocol.parameters import check_keys
from engine.server.call import Call
from engine.server.routes import Route
from engine.translate.object_ids import docker_id
from engine.translate.swarm.network_targets import with_network_ids
from engine.translate.swarm.service_spec import read_service
from engine.translate.swarm.services import service_document, service_matches, task_document, task_matches
from shoal.api.v1.control_pb2 import (
    CreateServiceRequest,
    CreateServiceResponse,
    GetServiceRequest,
    ListNetworksRequest,
    ListNodesRequest,
    ListRevisionsRequest,
    ListServicesRequest,
    ListTasksRequest,
    NetworkView,
    RemoveServiceRequest,
    RollbackServiceRequest,
    ServiceView,
    TaskView,
    UpdateServiceRequest,
    UpdateServiceResponse,
)
from shoal.api.v1.service_pb2 import Service, ServiceSpec
from shoal.api.v1.task_pb2 import TaskState
from shoal.errors import AlreadyExists, Conflict, InvalidInput, NotFound, Refused
from shoal.manager_calls.managers import Managers

_Answer = TypeVar("_Answer")

SERVICE_FILTERS = ("id", "label", "mode", "name", "runtime")
IMAGE_PATH = "task.container.image"
TASK_FILTERS = ("_up-to-date", "desired-state", "id", "label", "name", "node", "runtime", "service")


class ServiceHandlers:
    """The operations on services and tasks."""

    def __init__(self, managers: Managers, *, restrictions: Restrictions) -> None:
        self._restrictions = restrictions
        self._managers = managers
        self._control = managers.control

    def routes(self) -> list[Route]:
        return [
            Route("GET", "/services", self.list, "ServiceList", remark="without PreviousSpec"),
            Route("POST", "/services/create", self.create, "ServiceCreate"),
            Route("GET", "/services/{id}", self.inspect, "ServiceInspect"),
            Route("DELETE", "/services/{id}", self.remove, "ServiceDelete"),
            Route("POST", "/services/{id}/update", self.update, "ServiceUpdate"),
            Route("GET", "/tasks", self.list_tasks, "TaskList"),
            Route("GET", "/tasks/{id}", self.inspect_task, "TaskInspect"),
        ]

    async def list(self, call: Call) -> web.StreamResponse:
        filters = call.filters()
        check_keys(filters, SERVICE_FILTERS)
        listed, networks = await asyncio.gather(
            self._managers.call(self._control.ListServices, ListServicesRequest()), self.networks()
        )
        running = await self._running() if call.boolean("status") else None
        documents = [
            service_document(
                each,
                networks,
                defaults=False,
                running=running[each.service.meta.id] if running is not None else None,
            )
            for each in listed.services
        ]
        return call.json([each for each in documents if service_matches(each, filters)])

    async def create(self, call: Call) -> web.StreamResponse:
        """Answered when its record is there; clients follow its tasks."""
        document = with_network_ids(await call.json_object(), await self.networks())
        spec = read_service(document, call.version)
        await self._restrictions.check_task(call.caller, spec.task)
        try:
            made, unresolved = await _resolved_or_not(partial(self._create, spec))
        except AlreadyExists as error:
            text = "rpc error: code = AlreadyExists desc = name conflicts with an existing object: service "
            raise conflict(f"{text}{spec.name} already exists") from error
        except InvalidInput as error:
            raise bad_request(f"rpc error: code = InvalidArgument desc = {error}") from error
        warnings = [*unresolved, *made.warnings]
        return call.json({"ID": made.service.meta.id, "Warnings": warnings or None}, HTTPStatus.CREATED)

    async def inspect(self, call: Call) -> web.StreamResponse:
        view, networks = await asyncio.gather(self.find(call.parameters["id"]), self.networks())
        document = service_document(
            view, networks, defaults=call.boolean("insertDefaults"), previous=await self._previous_spec(view.service)
        )
        return call.json(document)

    async def update(self, call: Call) -> web.StreamResponse:
        """A new spec on top of the version that the client has read, or the one before."""
        view, version = await self.find(call.parameters["id"]), version_of(call)
        if call.text("rollback") == "previous":
            await self._roll_back(view)
            return call.json({"Warnings": None})
        document = with_network_ids(await call.json_object(), await self.networks())
        spec = _with_own_fields(read_service(document, call.version), view.service.spec)
        await self._restrictions.check_task(call.caller, spec.task)
        request = UpdateServiceRequest(service=view.service.meta.id, version=version, spec=spec)
        try:
            made, unresolved = await _resolved_or_not(partial(self._update, request))
        except Conflict as error:
            raise ApiError(HTTPStatus.INTERNAL_SERVER_ERROR, OUT_OF_SEQUENCE) from error
        except InvalidInput as error:
            raise bad_request(f"rpc error: code = InvalidArgument desc = {error}") from error
        return call.json({"Warnings": [*unresolved, *made.warnings] or None})

    async def remove(self, call: Call) -> web.StreamResponse:
        view = await self.find(call.parameters["id"])
        await self._managers.call(self._control.RemoveService, RemoveServiceRequest(service=view.service.meta.id))
        return call.empty(HTTPStatus.OK)

    async def list_tasks(self, call: Call) -> web.StreamResponse:
        filters = call.filters()
        check_keys(filters, TASK_FILTERS)
        listed, services, networks, nodes = await asyncio.gather(
            self._managers.call(self._control.ListTasks, ListTasksRequest(include_ended=True)),
            self._services(),
            self.networks(),
            self._managers.call(self._control.ListNodes, ListNodesRequest()),
        )
        node_ids = {each.node.spec.identity.hostname: each.node.meta.id for each in nodes.nodes}
        return call.json(
            [
                task_document(each, services.get(each.task.service_id), networks)
                for each in listed.tasks
                if not each.task.container_id
                and task_matches(each, filters, services.get(each.task.service_id), node_ids)
            ]
        )

    async def inspect_task(self, call: Call) -> web.StreamResponse:
        name = call.parameters["id"]
        listed, services, networks = await asyncio.gather(
            self._managers.call(self._control.ListTasks, ListTasksRequest(include_ended=True)),
            self._services(),
            self.networks(),
        )
        found = [each for each in listed.tasks if _is_named(each, name) and not each.task.container_id]
        if len(found) != 1:
            raise not_found(f"task {name} not found")
        return call.json(task_document(found[0], services.get(found[0].task.service_id), networks))

    async def find(self, name: str) -> ServiceView:
        """A service by name or id.

        Raises:
            ApiError: 404, there is none; 400, several ids begin so.
        """
        try:
            return await self._managers.call(self._control.GetService, GetServiceRequest(service=name))
        except NotFound:
            raise not_found(f"service {name} not found") from None
        except InvalidInput as error:
            raise bad_request(f"service {name} is ambiguous: {error}") from error

    async def networks(self) -> Mapping[str, NetworkView]:
        """All networks by id."""
        listed = await self._managers.call(self._control.ListNetworks, ListNetworksRequest())
        return {each.network.meta.id: each for each in listed.networks}

    async def _previous_spec(self, service: Service) -> ServiceSpec | None:
        """The spec before the last update, to which a rollback returns; None where there is none."""
        if service.revision <= 1:
            return None
        listed = await self._managers.call(self._control.ListRevisions, ListRevisionsRequest(service=service.meta.id))
        numbered = {each.revision.number: each.revision.spec for each in listed.revisions}
        return numbered.get(service.revision - 1)

    async def _create(self, spec: ServiceSpec, *, resolve: bool) -> CreateServiceResponse:
        request = CreateServiceRequest(spec=spec, no_resolve_image=not resolve)
        return await self._managers.call(self._control.CreateService, request)

    async def _update(self, request: UpdateServiceRequest, *, resolve: bool) -> UpdateServiceResponse:
        request.no_resolve_image = not resolve
        return await self._managers.call(self._control.UpdateService, request)

    async def _running(self) -> Counter[str]:
        """How many tasks of each service run and are to, whether they listen on their ports or not."""
        listed = await self._managers.call(self._control.ListTasks, ListTasksRequest())
        return Counter(
            each.task.service_id
            for each in listed.tasks
            if each.status.state == TaskState.RUNNING and each.task.desired_state == TaskState.RUNNING
        )

    async def _services(self) -> Mapping[str, ServiceView]:
        listed = await self._managers.call(self._control.ListServices, ListServicesRequest())
        return {each.service.meta.id: each for each in listed.services}

    async def _roll_back(self, view: ServiceView) -> None:
        request = RollbackServiceRequest(service=view.service.meta.id)
        try:
            await self._managers.call(self._control.RollbackService, request)
        except (NotFound, Refused) as error:
            text = f"service {view.service.spec.name} does not have a previous spec"
            raise bad_request(f"rpc error: code = FailedPrecondition desc = {text}") from error


async def _resolved_or_not(call: Callable[..., Awaitable[_Answer]]) -> tuple[_Answer, Sequence[str]]:
    """Create or update a service; where its image cannot be resolved, with the tag as it is, and a warning, as Docker.

    Args:
        call: takes `resolve`.
    """
    try:
        return await call(resolve=True), ()
    except InvalidInput as error:
        if [fault.path for fault in error.faults] != [IMAGE_PATH]:
            raise
        warning = f"image could not be accessed on a registry to record its digest: {error.faults[0].message}"
        return await call(resolve=False), (warning,)


def _with_own_fields(spec: ServiceSpec, current: ServiceSpec) -> ServiceSpec:
    """The spec of an update with what only Shoal has, which clients of this API do not send back."""
    for field in ("schedule", "autoscale"):
        if current.HasField(field):
            getattr(spec, field).CopyFrom(getattr(current, field))
    spec.depends_on.extend(current.depends_on)
    spec.priority = current.priority
    return spec


def _is_named(view: TaskView, name: str) -> bool:
    task = view.task
    return task.id.startswith(name) or docker_id(task.id) == name
