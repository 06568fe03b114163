"""/api/containers/ID: one container of one's own, what is done to it, and new ones."""

from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from aiohttp import web

from console.forms.container_form import FIELD_OF, container_request, update_request
from console.forms.form_fields import faults_by_field
from console.json_text import message_document
from console.server.json_answers import answer, body_of, text_of
from shoal.api.v1.engine_pb2 import (
    ContainerView,
    CreateContainerRequest,
    GetContainerRequest,
    KillContainerRequest,
    ListProcessesRequest,
    PauseContainerRequest,
    RenameContainerRequest,
    StartContainerRequest,
    StopContainerRequest,
)
from shoal.container_states import state_text
from shoal.errors import InvalidInput, ShoalError
from shoal.manager_calls.managers import Managers

Act = Callable[[str, dict[str, Any]], Awaitable[object]]


class ContainerHandlers:
    """A container's calls. It is named by name or id."""

    def __init__(self, managers: Managers) -> None:
        self._managers = managers
        self._containers = managers.containers

    def routes(self) -> Iterable[web.RouteDef]:
        """Under `/api`."""
        one = "/api/containers/{container}"
        yield web.post("/api/containers", self.create)
        yield web.get(one, self.show)
        yield web.get(one + "/processes", self.processes)
        for name, act in self._acts():
            yield web.post(f"{one}/{name}", _handler(act))

    def _acts(self) -> Iterable[tuple[str, Act]]:
        """What is done to a container, by the last word of the path."""
        containers = self._containers

        def by_name(method: Any, make: Callable[..., object], **fields: object) -> Act:
            return lambda name, _: self._managers.call(method, make(container=name, **fields), seconds=None)

        yield "start", by_name(containers.StartContainer, StartContainerRequest)
        yield "stop", by_name(containers.StopContainer, StopContainerRequest)
        yield "restart", by_name(containers.RestartContainer, StopContainerRequest)
        yield "pause", by_name(containers.PauseContainer, PauseContainerRequest)
        yield "unpause", by_name(containers.PauseContainer, PauseContainerRequest, unpause=True)
        yield "kill", self._kill
        yield "rename", self._rename
        yield "update", self._update

    async def show(self, request: web.Request) -> web.StreamResponse:
        """With its state in a word, and without what an Engine API client had sent."""
        call = GetContainerRequest(container=request.match_info["container"])
        return answer(_document(await self._managers.call(self._containers.GetContainer, call)))

    async def processes(self, request: web.Request) -> web.StreamResponse:
        """As ps(1) shows them."""
        call = ListProcessesRequest(container=request.match_info["container"])
        return answer(message_document(await self._managers.call(self._containers.ListProcesses, call)))

    async def create(self, request: web.Request) -> web.StreamResponse:
        """Create a container and start it; one that does not start is there all the same, and `problem` says why.

        `dry_run` checks the form alone. The image is in the cluster, or the cluster has no image repository.
        """
        document = await body_of(request)
        call = container_request(document)
        call.dry_run = call.no_resolve_image = document.get("dry_run") is True
        view = await self._submit(call)
        made = {"id": view.container.meta.id, "name": view.container.name, "warnings": list(view.warnings)}
        if call.dry_run:
            return answer(made)
        try:
            start = StartContainerRequest(container=view.container.meta.id)
            await self._managers.call(self._containers.StartContainer, start, seconds=None)
        except ShoalError as error:
            made["problem"] = str(error)
        return answer(made, status=201)

    async def _submit(self, call: CreateContainerRequest) -> ContainerView:
        """Raises InvalidInput: with the manager's faults, by field."""
        try:
            return await self._managers.call(self._containers.CreateContainer, call, seconds=None)
        except InvalidInput as error:
            raise InvalidInput(faults_by_field(error.faults, FIELD_OF)) from error

    async def _kill(self, container: str, document: dict[str, Any]) -> None:
        call = KillContainerRequest(container=container, signal=text_of(document, "signal"))
        await self._managers.call(self._containers.KillContainer, call)

    async def _rename(self, container: str, document: dict[str, Any]) -> None:
        call = RenameContainerRequest(container=container, name=text_of(document, "name"))
        await self._managers.call(self._containers.RenameContainer, call)

    async def _update(self, container: str, document: dict[str, Any]) -> None:
        try:
            await self._managers.call(self._containers.UpdateContainer, update_request(container, document))
        except InvalidInput as error:
            raise InvalidInput(faults_by_field(error.faults, FIELD_OF)) from error


def _handler(act: Act) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def handle(request: web.Request) -> web.StreamResponse:
        await act(request.match_info["container"], await body_of(request))
        return answer({})

    return handle


def _document(view: ContainerView) -> dict[str, Any]:
    shown = ContainerView()
    shown.CopyFrom(view)
    shown.container.definition.ClearField("engine_request")
    return {**message_document(shown), "state": state_text(view)}
