"""/api/images: what an image is and was made of, its names, and copies from and to other registries.

A pull or a push is a WebSocket. The browser's first message says what is to be done: {"name", "platform", "username",
"password"}, the last two for this registry and this once. Messages of the server are {"type": "layers", "layers":
[[digest, state, bytes done, bytes]]}, those that have changed, and the last one, {"type": "end", "name", "digest"}.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from typing import Any

from aiohttp import WSMsgType, web

from console.handlers.cluster_images import ClusterImages
from console.handlers.streams import CLOSING, Streams, until_first_ends
from console.json_text import encode
from console.server.json_answers import answer, body_of, text_of
from shoal.api.v1.engine_pb2 import PruneImagesRequest, RemoveImageRequest
from shoal.api.v1.standalone_pb2 import Image
from shoal.distribution.manifests import Platform
from shoal.distribution.registries import Registries
from shoal.errors import InvalidInput, NotFound
from shoal.image_reference import ImageReference, parse
from shoal.images.image_documents import choose_variant, history, inspect_document
from shoal.images.progress import LayerProgress
from shoal.manager_calls.managers import Managers

REMOVE_SECONDS = 60.0
"""The registry is asked to delete an image."""
PROGRESS_SECONDS = 0.2
"""Between two messages about the same copy."""
FIRST_SECONDS = 10.0
"""For the browser's first message."""

Copy = Callable[[dict[str, Any], Registries, "LayerChanges"], Awaitable[dict[str, str]]]


class LayerChanges:
    """The newest state of each layer that has changed since it was last read."""

    def __init__(self) -> None:
        self._changed: dict[str, LayerProgress] = {}

    def __call__(self, progress: LayerProgress) -> None:
        self._changed[progress.digest] = progress

    def consume(self) -> list[tuple[str, str, int, int]]:
        """[digest, state, bytes done, bytes] of each."""
        found, self._changed = self._changed, {}
        return [(each.digest, each.state.value, each.done_bytes, each.total_bytes) for each in found.values()]


class ImageHandlers:
    """Images' calls. A pull or a push may add credentials for one registry."""

    def __init__(self, managers: Managers, streams: Streams, images: ClusterImages) -> None:
        self._managers = managers
        self._images = images
        self._streams = streams

    def routes(self) -> Iterable[web.RouteDef]:
        """Under `/api`. An image is named by `image` in the query: names have slashes."""
        yield web.get("/api/image", self.show)
        yield web.post("/api/image/tag", self.tag)
        yield web.post("/api/image/remove", self.remove)
        yield web.post("/api/images/prune", self.prune)
        yield web.get("/api/images/pull", self.pull)
        yield web.get("/api/images/push", self.push)

    async def show(self, request: web.Request) -> web.StreamResponse:
        """As `shoal image inspect` and `shoal history` have it; where there is none, whether it could be pulled."""
        name = request.query.get("image", "")
        try:
            view = await self._images.find(name)
        except NotFound:
            return answer({"found": False, "pulls": bool(await self._images.repository_name())})
        variant = choose_variant(view)
        steps = [
            {"created": each.created, "by": each.created_by, "size": each.size_bytes, "comment": each.comment}
            for each in history(view, variant)
        ]
        layers = [
            {"digest": each, "size": size} for each, size in zip(variant.layers, variant.layer_bytes, strict=False)
        ]
        return answer({"found": True, "image": inspect_document(view, variant), "history": steps, "layers": layers})

    async def tag(self, request: web.Request) -> web.StreamResponse:
        """Another name for an image."""
        document = await body_of(request)
        image, name = (await self._images.find(text_of(document, "image"))).image, _tagged(text_of(document, "name"))
        made = Image()
        made.CopyFrom(image)
        made.name = str(name)
        made.ClearField("meta")
        await self._images.set(made)
        return answer({"name": name.familiar}, status=201)

    async def remove(self, request: web.Request) -> web.StreamResponse:
        """A name, and with the last one the image; of an image without names the digest. `name` repeats it."""
        document = await body_of(request)
        image = text_of(document, "image")
        if text_of(document, "name") != image:
            raise InvalidInput(f'name: "{document["name"]}" is not the name of this image')
        done = await self._managers.call(
            self._managers.images.RemoveImage, RemoveImageRequest(image=image), seconds=REMOVE_SECONDS
        )
        return answer({"untagged": list(done.untagged), "deleted": list(done.deleted)})

    async def prune(self, request: web.Request) -> web.StreamResponse:
        """Images without a name; with `all` those that nothing uses."""
        call = PruneImagesRequest(all=(await body_of(request)).get("all") is True)
        done = await self._managers.call(self._managers.images.PruneImages, call, seconds=REMOVE_SECONDS * 10)
        return answer({"deleted": len(done.deleted) + len(done.untagged), "bytes": done.reclaimed_bytes})

    async def pull(self, request: web.Request) -> web.StreamResponse:
        """Copy an image into the cluster's repository and name it; ends, unfinished, when the browser leaves."""
        return await self._serve(request, self._pull)

    async def push(self, request: web.Request) -> web.StreamResponse:
        """Copy an image of the cluster to the registry that its name says."""
        return await self._serve(request, self._push)

    async def _pull(self, document: dict[str, Any], registries: Registries, progress: LayerChanges) -> dict[str, str]:
        reference, platform = parse(text_of(document, "name")).with_default_tag(), _platform(document)
        async with self._images.opened(registries, reference.domain) as (distribution, repository):
            source = distribution.repository(reference)
            image = await repository.pull(source, reference, progress, platform=platform)
        await self._images.set(image)
        return {"name": reference.familiar, "digest": image.digest}

    async def _push(self, document: dict[str, Any], registries: Registries, progress: LayerChanges) -> dict[str, str]:
        reference = _tagged(text_of(document, "name"))
        image = (await self._images.find(str(reference))).image
        async with self._images.opened(registries, reference.domain) as (distribution, repository):
            target = distribution.repository(reference)
            await repository.push(image.digest, target, reference.tag, progress, source=image.source)
        return {"name": reference.familiar, "digest": image.digest}

    async def _serve(self, request: web.Request, copy: Copy) -> web.StreamResponse:
        async def serve(socket: web.WebSocketResponse) -> None:
            document, progress = await _first_message(socket), LayerChanges()

            async def work() -> None:
                ended = await _reporting(socket, progress, copy(document, self._with_login(document), progress))
                await socket.send_str(encode({"type": "end", **ended}))

            with self._images.one_copy():
                await until_first_ends(work(), _until_closed(socket))

        return await self._streams.serve(request, serve)

    def _with_login(self, document: dict[str, Any]) -> Registries:
        username, password = document.get("username", ""), document.get("password", "")
        if not (isinstance(username, str) and isinstance(password, str) and username):
            return self._images.registries
        return self._images.registries.with_login(parse(text_of(document, "name")).domain, username, password)


async def _reporting(
    socket: web.WebSocketResponse, progress: LayerChanges, work: Awaitable[dict[str, str]]
) -> dict[str, str]:
    """The result of the work, with its progress sent meanwhile."""
    working = asyncio.ensure_future(work)
    try:
        while not working.done():
            await asyncio.wait([working], timeout=PROGRESS_SECONDS)
            if changed := progress.consume():
                await socket.send_str(encode({"type": "layers", "layers": changed}))
        return await working
    finally:
        working.cancel()
        with suppress(asyncio.CancelledError):
            await asyncio.gather(working, return_exceptions=True)


async def _first_message(socket: web.WebSocketResponse) -> dict[str, Any]:
    """Raises InvalidInput: it does not come, or is no object."""
    try:
        message = await socket.receive(timeout=FIRST_SECONDS)
        document = json.loads(message.data) if message.type is WSMsgType.TEXT else None
    except (TimeoutError, ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        raise InvalidInput("the first message must say what is to be copied")
    return document


async def _until_closed(socket: web.WebSocketResponse) -> None:
    while (await socket.receive()).type not in CLOSING:
        pass


def _tagged(name: str) -> ImageReference:
    """Raises InvalidInput: it is no name, or has a digest."""
    found = parse(name)
    if found.digest:
        raise InvalidInput(f"name: {name}: specify a tag, not a digest")
    return found.with_default_tag()


def _platform(document: dict[str, Any]) -> Platform | None:
    """Raises InvalidInput: it is none."""
    text = document.get("platform", "")
    if not text:
        return None
    parts = text.lower().split("/") if isinstance(text, str) else []
    if not 2 <= len(parts) <= 3 or not all(parts):
        raise InvalidInput("platform: must be in the form linux/arm64")
    return Platform(*parts)
