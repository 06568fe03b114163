"""Secrets and configs: list, create, inspect, update, remove."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from aiohttp import web

from engine.protocol.errors import ApiError, bad_request, conflict, not_found
from engine.protocol.parameters import check_keys
from engine.server.call import Call
from engine.server.routes import Route
from engine.translate.swarm.swarm_files import file_document, matches, read_file, read_labels
from shoal.api.v1.control_pb2 import (
    FileView,
    GetFileRequest,
    ListFilesRequest,
    RemoveFileRequest,
    UpdateFileRequest,
)
from shoal.errors import AlreadyExists, InvalidInput, NotFound, Refused
from shoal.manager_calls.managers import Managers

FILTERS = ("id", "label", "name", "names")


@dataclass(frozen=True)
class FileCalls:
    """The calls of managers about one of the two.

    Attributes:
        file_kind: "secret" or "config". shows_data: whether a client may read the content.
    """

    file_kind: str
    shows_data: bool
    create: Callable[..., Awaitable[FileView]]
    get: Callable[..., Awaitable[FileView]]
    list: Callable[..., Awaitable[Any]]
    update: Callable[..., Awaitable[Any]]
    remove: Callable[..., Awaitable[Any]]


class FileHandlers:
    """The operations on secrets, or on configs."""

    def __init__(self, managers: Managers, calls: FileCalls) -> None:
        self._managers = managers
        self._calls = calls

    def routes(self) -> list[Route]:
        path, name = f"/{self._calls.file_kind}s", self._calls.file_kind.capitalize()
        return [
            Route("GET", path, self.list, f"{name}List"),
            Route("POST", f"{path}/create", self.create, f"{name}Create"),
            Route("GET", f"{path}/{{id}}", self.inspect, f"{name}Inspect"),
            Route("DELETE", f"{path}/{{id}}", self.remove, f"{name}Delete"),
            Route("POST", f"{path}/{{id}}/update", self.update, f"{name}Update", remark="labels, as with Docker"),
        ]

    async def list(self, call: Call) -> web.StreamResponse:
        filters = call.filters()
        check_keys(filters, FILTERS)
        listed = await self._managers.call(self._calls.list, ListFilesRequest())
        found = [each for each in listed.files if matches(each, filters)]
        if self._calls.shows_data:  # only a single one has its content
            found = [await self._find(each.meta.id) for each in found]
        return call.json([file_document(each, with_data=self._calls.shows_data) for each in found])

    async def create(self, call: Call) -> web.StreamResponse:
        request = read_file(await call.json_object())
        try:
            view = await self._managers.call(self._calls.create, request)
        except AlreadyExists as error:
            text = f"rpc error: code = AlreadyExists desc = {self._calls.file_kind} {request.spec.name} already exists"
            raise conflict(text) from error
        return call.json({"ID": view.meta.id}, HTTPStatus.CREATED)

    async def inspect(self, call: Call) -> web.StreamResponse:
        view = await self._find(call.parameters["id"])
        return call.json(file_document(view, with_data=self._calls.shows_data))

    async def update(self, call: Call) -> web.StreamResponse:
        view = await self._find(call.parameters["id"])
        labels, removed = read_labels(await call.json_object(), view)
        request = UpdateFileRequest(file=view.meta.id, labels_add=labels, labels_remove=removed)
        await self._managers.call(self._calls.update, request)
        return call.empty(HTTPStatus.OK)

    async def remove(self, call: Call) -> web.StreamResponse:
        view = await self._find(call.parameters["id"])
        try:
            await self._managers.call(self._calls.remove, RemoveFileRequest(file=view.meta.id))
        except Refused as error:
            raise bad_request(f"rpc error: code = InvalidArgument desc = {error}") from error
        return call.empty()

    async def _find(self, name: str) -> FileView:
        try:
            return await self._managers.call(self._calls.get, GetFileRequest(file=name))
        except NotFound:
            raise self._missing(name) from None
        except InvalidInput as error:
            raise bad_request(f"{self._calls.file_kind} {name} is ambiguous: {error}") from error

    def _missing(self, name: str) -> ApiError:
        return not_found(f"{self._calls.file_kind} {name} not found")


def secret_calls(managers: Managers) -> FileCalls:
    """Of secrets, whose content nobody reads."""
    control = managers.control
    return FileCalls(
        "secret",
        False,
        control.CreateSecret,
        control.GetSecret,
        control.ListSecrets,
        control.UpdateSecret,
        control.RemoveSecret,
    )


def config_calls(managers: Managers) -> FileCalls:
    """Of configs."""
    control = managers.control
    return FileCalls(
        "config",
        True,
        control.CreateConfig,
        control.GetConfig,
        control.ListConfigs,
        control.UpdateConfig,
        control.RemoveConfig,
    )
