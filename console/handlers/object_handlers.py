"""/api/KIND: lists of containers, images, networks, volumes, secrets, configs and managers, and the removal of one."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from console.handlers import object_rows
from console.json_text import message_document
from console.server.json_answers import answer, body_of, text_of
from shoal.api.v1.control_pb2 import (
    CheckNetworkRequest,
    ListFilesRequest,
    ListManagersRequest,
    ListNetworksRequest,
    ListVolumesRequest,
    RemoveFileRequest,
    RemoveNetworkRequest,
    RemoveVolumeRequest,
)
from shoal.api.v1.engine_pb2 import (
    ListContainersRequest,
    ListImagesRequest,
    RemoveContainerRequest,
)
from shoal.errors import InvalidInput
from shoal.manager_calls.managers import Managers

CHECK_SECONDS = 30.0


@dataclass(frozen=True)
class _Kind:
    """How objects of a kind are listed and removed.

    Attributes:
        field: of the answer that has them.
        row: what browsers get of one.
        remove: method and request of a removal, by id; None: not from here.
    """

    method: Any
    request: Callable[[], object]
    field: str
    row: Callable[[Any], object_rows.Row]
    remove: tuple[Any, Callable[[str], object]] | None = None


class ObjectHandlers:
    """The lists that are asked for."""

    def __init__(self, managers: Managers) -> None:
        self._managers = managers
        self._kinds = _kinds(managers)

    def routes(self) -> Iterable[web.RouteDef]:
        """Under `/api`."""
        for name, kind in self._kinds.items():
            yield web.get(f"/api/{name}", self._lister(kind))
            if kind.remove is not None:
                yield web.post(f"/api/{name}/{{id}}/remove", self._remover(kind))
        yield web.post("/api/network-check", self.check_network)

    def _lister(self, kind: _Kind) -> Callable[[web.Request], Any]:
        async def show(_: web.Request) -> web.StreamResponse:
            found = await self._managers.call(kind.method, kind.request())
            return answer([kind.row(each) for each in getattr(found, kind.field)])

        return show

    def _remover(self, kind: _Kind) -> Callable[[web.Request], Any]:
        """The body repeats the object's name, as the managers have it now."""

        async def remove(request: web.Request) -> web.StreamResponse:
            name, identifier = text_of(await body_of(request), "name"), request.match_info["id"]
            found = await self._managers.call(kind.method, kind.request())
            rows = (kind.row(each) for each in getattr(found, kind.field))
            if not any(row["id"] == identifier and row["name"] == name for row in rows):
                raise InvalidInput(f'name: "{name}" is not the name of this object')
            assert kind.remove is not None
            method, make = kind.remove
            await self._managers.call(method, make(identifier))
            return answer({})

        return remove

    async def check_network(self, request: web.Request) -> web.StreamResponse:
        """How nodes reach each other and the published ports; takes seconds."""
        call = CheckNetworkRequest(network=str((await body_of(request)).get("network", "")))
        found = await self._managers.call(self._managers.control.CheckNetwork, call, seconds=CHECK_SECONDS)
        return answer(message_document(found))


def _kinds(managers: Managers) -> Mapping[str, _Kind]:
    control, rows = managers.control, object_rows
    return {
        "containers": _Kind(
            managers.containers.ListContainers,
            lambda: ListContainersRequest(all=True),
            "containers",
            rows.container_row,
            (managers.containers.RemoveContainer, lambda each: RemoveContainerRequest(container=each, force=True)),
        ),
        "images": _Kind(managers.images.ListImages, ListImagesRequest, "images", rows.image_row),
        "networks": _Kind(
            control.ListNetworks,
            ListNetworksRequest,
            "networks",
            rows.network_row,
            (control.RemoveNetwork, lambda each: RemoveNetworkRequest(network=each)),
        ),
        "volumes": _Kind(
            control.ListVolumes,
            ListVolumesRequest,
            "volumes",
            rows.volume_row,
            (control.RemoveVolume, lambda each: RemoveVolumeRequest(volume=each)),
        ),
        "secrets": _Kind(
            control.ListSecrets,
            ListFilesRequest,
            "files",
            rows.file_row,
            (control.RemoveSecret, lambda each: RemoveFileRequest(file=each)),
        ),
        "configs": _Kind(
            control.ListConfigs,
            ListFilesRequest,
            "files",
            rows.file_row,
            (control.RemoveConfig, lambda each: RemoveFileRequest(file=each)),
        ),
        "managers": _Kind(control.ListManagers, ListManagersRequest, "managers", rows.manager_row),
    }
