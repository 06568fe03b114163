"""/api/KIND: networks, volumes, secrets and configs are created; a network with who is on it; the managers' store."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from aiohttp import web

from console.json_text import message_document
from console.server.json_answers import answer, body_of, content_of, text_of
from shoal.api.v1.control_pb2 import (
    CreateFileRequest,
    CreateNetworkRequest,
    CreateVolumeRequest,
    GetNetworkRequest,
    GetStoreRequest,
)
from shoal.api.v1.file_pb2 import FileSpec
from shoal.api.v1.network_pb2 import NetworkSpec
from shoal.api.v1.volume_pb2 import VolumeSpec
from shoal.manager_calls.managers import Managers

Document = Mapping[str, Any]


class CreationHandlers:
    """Creation of what services use. A secret's content goes in and never out."""

    def __init__(self, managers: Managers) -> None:
        self._managers = managers
        self._control = managers.control

    def routes(self) -> Iterable[web.RouteDef]:
        """Under `/api`."""
        control = self._control
        yield web.post("/api/networks", self._creator(control.CreateNetwork, _network))
        yield web.post("/api/volumes", self._creator(control.CreateVolume, _volume))
        yield web.post("/api/secrets", self._creator(control.CreateSecret, _file))
        yield web.post("/api/configs", self._creator(control.CreateConfig, _file))
        yield web.get("/api/networks/{network}", self.show_network)
        yield web.get("/api/store", self.show_store)

    def _creator(self, method: Any, request_of: Callable[[Document], object]) -> Callable[[web.Request], Any]:
        async def create(request: web.Request) -> web.StreamResponse:
            await self._managers.call(method, request_of(await body_of(request)))
            return answer({}, status=201)

        return create

    async def show_network(self, request: web.Request) -> web.StreamResponse:
        """With the tasks on it, and the nodes that take part."""
        call = GetNetworkRequest(network=request.match_info["network"])
        return answer(message_document(await self._managers.call(self._control.GetNetwork, call)))

    async def show_store(self, _: web.Request) -> web.StreamResponse:
        """The members of etcd as the managers see them."""
        return answer(message_document(await self._managers.call(self._control.GetStore, GetStoreRequest())))


def _network(document: Document) -> CreateNetworkRequest:
    spec = NetworkSpec(
        name=text_of(document, "name"),
        driver=text_of(document, "driver"),
        subnet=text_of(document, "subnet"),
        internal=document.get("internal") is True,
    )
    if document.get("encrypted") is True:
        spec.options["encrypted"] = ""
    return CreateNetworkRequest(spec=spec)


def _volume(document: Document) -> CreateVolumeRequest:
    return CreateVolumeRequest(spec=VolumeSpec(name=text_of(document, "name"), driver=text_of(document, "driver")))


def _file(document: Document) -> CreateFileRequest:
    """Managers refuse one without content, and say so."""
    return CreateFileRequest(spec=FileSpec(name=text_of(document, "name")), content=content_of(document) or b"")
