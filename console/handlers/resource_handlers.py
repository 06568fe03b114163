"""/api/volumes/NAME, /api/secrets/NAME, /api/configs/NAME: one of them; new content of the latter two."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from aiohttp import web

from console.handlers.file_handlers import attachment_headers
from console.handlers.queries import flag_query
from console.json_text import message_document
from console.server.json_answers import answer, body_of, content_of, number_of, text_of
from shoal.api.v1.control_pb2 import (
    CancelVolumeMoveRequest,
    FileView,
    GetFileRequest,
    GetVolumeRequest,
    MoveVolumeRequest,
    UpdateFileRequest,
    VolumeView,
)
from shoal.errors import InvalidInput
from shoal.manager_calls.managers import CALL_SECONDS, Managers

SIZES_SECONDS = 30.0
"""Nodes are waited for, 20 s at most."""
MAX_SLOT = 1_000_000
HEAD = 512
"""Bytes of content that is no text, which a page shows."""
_CONTAINER = "container "
"""Before the name of a container of one's own, among the users of a volume."""


class ResourceHandlers:
    """What services use, one at a time. Each is named by name or id."""

    def __init__(self, managers: Managers) -> None:
        self._managers = managers
        self._control = managers.control

    def routes(self) -> Iterable[web.RouteDef]:
        """Under `/api`."""
        control = self._control
        yield web.get("/api/volumes/{volume}", self.show_volume)
        yield web.post("/api/volumes/{volume}/move", self.move_volume)
        yield web.post("/api/volumes/{volume}/cancel-move", self.cancel_move)
        yield web.get("/api/configs/{file}/content", self.download_config)
        yield web.get("/api/secrets/{file}", self._shower(control.GetSecret, _secret))
        yield web.get("/api/configs/{file}", self._shower(control.GetConfig, _config))
        yield web.post("/api/secrets/{file}/update", self._updater(control.UpdateSecret))
        yield web.post("/api/configs/{file}/update", self._updater(control.UpdateConfig))

    async def show_volume(self, request: web.Request) -> web.StreamResponse:
        """With where its data is; `?sizes` asks the nodes how much it is, which takes as long as the slowest one."""
        sizes = flag_query(request, "sizes")
        call = GetVolumeRequest(volume=request.match_info["volume"], include_sizes=sizes)
        seconds = SIZES_SECONDS if sizes else CALL_SECONDS
        return answer(_volume(await self._managers.call(self._control.GetVolume, call, seconds=seconds)))

    async def move_volume(self, request: web.Request) -> web.StreamResponse:
        """Begin to move its data, or those of a slot, to another node; the volume's page says how far it is."""
        document = await body_of(request)
        call = MoveVolumeRequest(
            volume=request.match_info["volume"],
            node=text_of(document, "node"),
            slot=number_of(document, "slot", most=MAX_SLOT),
            replace=document.get("replace") is True,
        )
        return answer(_volume(await self._managers.call(self._control.MoveVolume, call)))

    async def cancel_move(self, request: web.Request) -> web.StreamResponse:
        """The data stays where it was."""
        slot = number_of(await body_of(request), "slot", most=MAX_SLOT)
        call = CancelVolumeMoveRequest(volume=request.match_info["volume"], slot=slot)
        return answer(_volume(await self._managers.call(self._control.CancelVolumeMove, call)))

    async def download_config(self, request: web.Request) -> web.StreamResponse:
        """The content of its newest version, as it is."""
        view = await self._managers.call(self._control.GetConfig, GetFileRequest(file=request.match_info["file"]))
        return web.Response(body=view.content, headers=attachment_headers(view.spec.name))

    def _shower(self, method: Any, document_of: Callable[[FileView], dict[str, Any]]) -> Callable[[web.Request], Any]:
        async def show(request: web.Request) -> web.StreamResponse:
            call = GetFileRequest(file=request.match_info["file"])
            return answer(document_of(await self._managers.call(method, call)))

        return show

    def _updater(self, method: Any) -> Callable[[web.Request], Any]:
        """Answers with the names of the services that were given the new version."""

        async def update(request: web.Request) -> web.StreamResponse:
            call = _update(request.match_info["file"], await body_of(request))
            found = await self._managers.call(method, call)
            return answer({"services": list(found.services)})

        return update


def _volume(view: VolumeView) -> dict[str, Any]:
    """With its users apart: services and containers. Without what an Engine API client had sent."""
    document, users = message_document(view), list(view.services)
    document.get("volume", {}).get("spec", {}).pop("engine_request", None)
    return {
        **document,
        "services": [each for each in users if not each.startswith(_CONTAINER)],
        "containers": [each.removeprefix(_CONTAINER) for each in users if each.startswith(_CONTAINER)],
    }


def _secret(view: FileView) -> dict[str, Any]:
    """Without content, whatever a manager answers."""
    document = message_document(view)
    document.pop("content", None)
    return document


def _config(view: FileView) -> dict[str, Any]:
    """With its content as text; null where it is none, and then with its beginning in hexadecimal digits."""
    text = _text(view.content)
    head = view.content[:HEAD].hex() if text is None else ""
    return {**message_document(view), "content": text, "head": head, "size": len(view.content)}


def _text(content: bytes) -> str | None:
    try:
        text = content.decode()
    except UnicodeDecodeError:
        return None
    return None if "\0" in text else text


def _update(file: str, document: Mapping[str, Any]) -> UpdateFileRequest:
    """What is not named stays as it is.

    Raises:
        InvalidInput: a label is no text, or content is no base64.
    """
    call = UpdateFileRequest(file=file)
    if (content := content_of(document)) is not None:
        call.content = content
    added, removed = document.get("labels_add", {}), document.get("labels_remove", [])
    if not isinstance(added, dict) or not isinstance(removed, list):
        raise InvalidInput("labels: must be an object to add and a list to remove")
    if not all(isinstance(each, str) for each in (*added.values(), *removed)):
        raise InvalidInput("labels: must be texts")
    call.labels_add.update(added)
    call.labels_remove.extend(removed)
    return call
