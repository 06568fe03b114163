"""Containers: create, list, inspect, rename, update, remove, prune, top, changes."""

import time
from http import HTTPStatus
from typing import Any

from aiohttp import web

from engine.cluster.container_lookup import ContainerLookup, no_such_container, reference_of
from engine.cluster.home_node import HomeNode
from engine.cluster.own_events import OwnEvents
from engine.handlers.containers.container_creator import ContainerCreator
from engine.handlers.restrictions import Restrictions
from engine.protocol.docker_texts import name_taken
from engine.protocol.errors import ApiError, bad_request, conflict
from engine.protocol.parameters import Filters, check_keys
from engine.server.call import Call
from engine.server.routes import Route
from engine.translate.containers.container_facts import Surroundings, identifier
from engine.translate.containers.container_inspect import inspect_document
from engine.translate.containers.container_list import list_row
from engine.translate.containers.container_update import read_update
from engine.translate.containers.encoded_rows import EncodedRows
from engine.translate.object_ids import docker_id, reference
from engine.translate.prune_filters import prune_filters
from shoal.api.v1.engine_pb2 import (
    Filter,
    ListChangesRequest,
    ListContainersRequest,
    ListContainersResponse,
    ListProcessesRequest,
    PruneContainersRequest,
    RemoveContainerRequest,
    RenameContainerRequest,
    UpdateContainerRequest,
)
from shoal.container_states import state_text
from shoal.errors import AlreadyExists, NotFound, Refused
from shoal.manager_calls.managers import SIZE_SECONDS, Managers
from shoal.manager_calls.read_cache import CachedAnswer

FILTERS = (
    "ancestor", "before", "expose", "exited", "health", "id", "is-task", "label", "name", "network", "node",
    "publish", "since", "status", "volume",
)  # fmt: skip
_MAX_LIMIT = (1 << 32) - 1
LONG_CALL_SECONDS = 3600.0
"""For calls that wait for what a user has asked for: a stop with its grace, a start with its image."""


class ContainerRecordHandlers:
    """The operations on containers' records."""

    def __init__(
        self,
        managers: Managers,
        lookup: ContainerLookup,
        home: HomeNode,
        events: OwnEvents,
        *,
        restrictions: Restrictions,
    ) -> None:
        self._managers = managers
        self._lookup = lookup
        self._events = events
        self._rows = EncodedRows()
        self._creation = ContainerCreator(managers, lookup, home, restrictions=restrictions)

    def routes(self) -> list[Route]:
        return [
            Route("GET", "/containers/json", self.list, "ContainerList"),
            Route("POST", "/containers/create", self.create, "ContainerCreate"),
            Route("POST", "/containers/prune", self.prune, "ContainerPrune"),
            Route("GET", "/containers/{id}/json", self.inspect, "ContainerInspect"),
            Route("POST", "/containers/{id}/rename", self.rename, "ContainerRename"),
            Route("POST", "/containers/{id}/update", self.update, "ContainerUpdate"),
            Route("GET", "/containers/{id}/top", self.top, "ContainerTop"),
            Route("GET", "/containers/{id}/changes", self.changes, "ContainerChanges"),
            Route("DELETE", "/containers/{id:.*}", self.remove, "ContainerDelete"),
        ]

    async def create(self, call: Call) -> web.StreamResponse:
        """Answered when a node has been chosen for it."""
        view, warnings = await self._creation.create(call)
        return call.json({"Id": identifier(view), "Warnings": warnings}, HTTPStatus.CREATED)

    async def list(self, call: Call) -> web.StreamResponse:
        """Those that run; with `all` or `limit` the others too."""
        filters = call.filters()
        check_keys(filters, FILTERS)
        limit = min(max(call.integer("limit", 0), 0), _MAX_LIMIT)
        sizes = call.boolean("size")
        request = ListContainersRequest(
            all=call.boolean("all"), include_tasks=True, limit=limit, filters=_filters(filters), include_sizes=sizes
        )
        try:
            listed = await self._listed(request)
        except NotFound as error:
            raise no_such_container(str(error)) from error
        now_ms = time.time_ns() // 1_000_000
        if not sizes and (again := self._rows.again(listed, call.version, now_ms=now_ms)) is not None:
            return call.encoded_json(again)
        views = listed.message.containers
        around = await self._lookup.around(views, view=listed.view) if views else Surroundings()
        if sizes:
            return call.json([list_row(each, call.version, around, now_ms=now_ms, sizes=True) for each in views])
        return call.encoded_json(self._rows.encoded(listed, views, call.version, around, now_ms=now_ms))

    async def _listed(self, request: ListContainersRequest) -> CachedAnswer[ListContainersResponse]:
        method = self._managers.containers.ListContainers
        if request.include_sizes:  # nodes count them anew
            return CachedAnswer(await self._managers.call(method, request, seconds=SIZE_SECONDS))
        return await self._managers.read(method, request)

    async def inspect(self, call: Call) -> web.StreamResponse:
        sizes = call.boolean("size")
        view = await self._lookup.find(call.parameters["id"], sizes=sizes)
        around = await self._lookup.around([view])
        return call.json(inspect_document(view, call.version, around, sizes=sizes))

    async def rename(self, call: Call) -> web.StreamResponse:
        """To a name that no other container has."""
        view, name = await self._lookup.own(call.parameters["id"]), call.text("name")
        if not name.removeprefix("/"):
            raise bad_request("Neither old nor new names may be empty")
        request = RenameContainerRequest(container=view.container.meta.id, name=name)
        try:
            await self._managers.call(self._managers.containers.RenameContainer, request)
        except AlreadyExists as error:
            owner = await self._lookup.find(name)
            raise name_taken(error, name, identifier(owner)) from error
        return call.empty()

    async def update(self, call: Call) -> web.StreamResponse:
        """Limits and restart policy, of a running one too."""
        view = await self._lookup.own(call.parameters["id"])
        request = read_update(await call.json_object())
        request.container = view.container.meta.id
        await self._managers.call(self._managers.containers.UpdateContainer, request)
        return call.json({"Warnings": None})

    async def remove(self, call: Call) -> web.StreamResponse:
        """Answered when its name is free."""
        name, force = call.parameters["id"], call.boolean("force")
        if call.boolean("link"):
            return await self._remove_link(call, name.removeprefix("/"))
        view = await self._lookup.own(name)
        state = state_text(view)
        if not force and state in ("running", "paused", "restarting"):
            raise _still_runs(view.container.name, state)
        request = RemoveContainerRequest(
            container=view.container.meta.id, force=force, remove_volumes=call.boolean("v")
        )
        try:
            await self._managers.call(self._managers.containers.RemoveContainer, request, seconds=LONG_CALL_SECONDS)
        except NotFound as error:
            raise no_such_container(name) from error
        except Refused as error:
            raise _still_runs(view.container.name, "running") from error
        return call.empty()

    async def _remove_link(self, call: Call, path: str) -> web.StreamResponse:
        """A link by the name of the container that has it and its alias; both containers stay."""
        name, _, alias = path.partition("/")
        if not alias:
            raise bad_request(f"Conflict, cannot remove the default link name of the container: {path}")
        view = await self._lookup.own(name)
        request = UpdateContainerRequest(container=view.container.meta.id, remove_links=[alias])
        try:
            await self._managers.call(self._managers.containers.UpdateContainer, request)
        except NotFound as error:
            raise no_such_container(path) from error
        return call.empty()

    async def prune(self, call: Call) -> web.StreamResponse:
        """All that do not run."""
        filters = prune_filters(call.filters(), ("label", "label!", "until"), now_ms=time.time_ns() // 1_000_000)
        removed = await self._managers.call(
            self._managers.containers.PruneContainers,
            PruneContainersRequest(filters=_filters(filters)),
            seconds=LONG_CALL_SECONDS,
        )
        ids = [docker_id(each) for each in removed.ids]
        return call.json({"ContainersDeleted": ids or None, "SpaceReclaimed": removed.reclaimed_bytes})

    async def top(self, call: Call) -> web.StreamResponse:
        """Its processes, as ps(1) of its node shows them."""
        view = await self._lookup.find(call.parameters["id"])
        arguments = call.text("ps_args", "-ef").split()
        request = ListProcessesRequest(container=reference_of(view), ps_args=arguments)
        try:
            listed = await self._managers.call(self._managers.containers.ListProcesses, request)
        except Refused:
            raise conflict(f"container {identifier(view)} is not running") from None
        self._events.report(view, "top")
        return call.json({"Processes": [list(each.cells) for each in listed.processes], "Titles": list(listed.titles)})

    async def changes(self, call: Call) -> web.StreamResponse:
        """What it has changed of its image's files; null for nothing."""
        view = await self._lookup.find(call.parameters["id"])
        request = ListChangesRequest(container=reference_of(view))
        found: list[dict[str, Any]] = []
        async for batch in self._managers.stream(self._managers.containers.ListChanges, request):
            found.extend({"Path": each.path, "Kind": int(each.kind)} for each in batch.changes)
        return call.json(found or None)


def _filters(filters: Filters) -> list[Filter]:
    return [
        Filter(key=key, value=reference(value) if key in ("before", "since", "volume") else value)
        for key, values in filters.items()
        for value in values
    ]


def _still_runs(name: str, state: str) -> ApiError:
    return conflict(
        f'cannot remove container "/{name}": container is {state}: stop the container before removing or force remove'
    )
