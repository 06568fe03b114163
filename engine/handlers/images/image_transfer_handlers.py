"""Images' bytes: pull, import, push, save, load, commit."""

import asyncio
import errno
import json
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack, aclosing
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path
from typing import Any, BinaryIO

from aiohttp import web

from engine.cluster.container_lookup import ContainerLookup, reference_of
from engine.cluster.image_pool import ImagePool, names_one, parse_image, parse_platform, pull_error
from engine.cluster.own_events import OwnEvents
from engine.handlers.images.image_handlers import AUTH_HEADER
from engine.handlers.images.progress_stream import LOADING, PULLING, PUSHING, Emit, LayerLines, stream_progress
from engine.protocol.errors import not_found, not_implemented
from engine.protocol.registry_auth import RegistryAuth, parse_auth_header
from engine.server.call import Call
from engine.server.routes import Route
from engine.translate.fields import Fields
from engine.translate.images.images import familiar
from shoal.api.v1.engine_pb2 import CommitContainerRequest
from shoal.api.v1.standalone_pb2 import Image
from shoal.distribution.manifests import Platform, host_platform
from shoal.errors import Exhausted, InvalidInput, NotFound, ShoalError, Unavailable
from shoal.image_reference import ImageReference, parse
from shoal.images.archive import open_source
from shoal.images.archive_writer import SavedImage, write_archive
from shoal.images.loading import load
from shoal.images.repository_name import record_name
from shoal.images.spool import uncompressed
from shoal.images.tar_import import ImportSettings, imported_image
from shoal.manager_calls.managers import Managers

TAR = "application/x-tar"
COMMIT_SECONDS = 3600.0
SPOOL_BYTES = 1 << 20


class ImageTransferHandlers:
    """The operations that move images between clients, registries and the cluster."""

    def __init__(self, managers: Managers, pool: ImagePool, lookup: ContainerLookup, events: OwnEvents) -> None:
        self._managers = managers
        self._events = events
        self._pool = pool
        self._lookup = lookup

    def routes(self) -> list[Route]:
        return [
            Route("POST", "/images/create", self.create, "ImageCreate"),
            Route("POST", "/images/load", self.load, "ImageLoad"),
            Route("GET", "/images/get", self.save, "ImageGetAll"),
            Route("GET", "/images/{name:.*}/get", self.save, "ImageGet"),
            Route("POST", "/images/{name:.*}/push", self.push, "ImagePush"),
            Route("POST", "/commit", self.commit, "ImageCommit"),
        ]

    async def create(self, call: Call) -> web.StreamResponse:
        """Pull from a registry, or import a tar of a root file system."""
        if call.text("fromSrc"):
            return await self._import(call)
        asked = parse_image(call.text("fromImage"), call.text("tag"))
        platform, auth = parse_platform(call.text("platform")), parse_auth_header(call.header(AUTH_HEADER))
        every_tag = not call.text("tag") and not names_one(call.text("fromImage"))

        async def pull(emit: Emit) -> None:
            for reference in await self._pool.tagged(asked, auth) if every_tag else [asked]:
                await self._pull(emit, reference, platform, auth)

        return await stream_progress(call, pull, map_error=lambda error: pull_error(error, asked))

    async def _pull(self, emit: Emit, reference: ImageReference, platform: Platform | None, auth: RegistryAuth) -> None:
        """One image; its lines."""
        before = await self._pool.find_digest(str(reference))
        async with self._pool.opened(reference, auth) as (distribution, repository):
            lines, source = _PullLines(emit, reference), distribution.repository(reference)
            image = await repository.pull(source, reference, lines, platform=platform)
            lines.begin()
            try:
                await self._pool.set(image)
            except NotFound:  # it was being removed meanwhile, and is copied once more
                image = await repository.pull(source, reference, lines, platform=platform)
                await self._pool.set(image)
        emit({"status": f"Digest: {image.digest}"})
        known = "Image is up to date for" if before == image.digest else "Downloaded newer image for"
        emit({"status": f"Status: {known} {reference.familiar}"})

    async def push(self, call: Call) -> web.StreamResponse:
        """To the registry of its name."""
        reference = parse_image(call.parameters["name"], call.text("tag"))
        platform, auth = (
            parse_platform(_platform_text(call.text("platform"))),
            parse_auth_header(call.header(AUTH_HEADER)),
        )
        every_tag = not call.text("tag") and not names_one(call.parameters["name"])
        references = await self._pool.names_of(reference) if every_tag else [reference]
        pushed = [(each, await self._pushed(each)) for each in references]
        if not pushed:
            raise _not_here(reference)

        async def push(emit: Emit) -> None:
            emit({"status": f"The push refers to repository [{reference.name}]"})
            for target, image in pushed:
                await self._push(emit, target, image, platform, auth)
                self._events.report_image(target.familiar, "push")

        return await stream_progress(call, push)

    async def _pushed(self, reference: ImageReference) -> Image:
        try:
            return (await self._pool.find(str(reference))).image
        except ShoalError as error:
            raise _not_here(reference) from error

    async def _push(
        self, emit: Emit, reference: ImageReference, image: Image, platform: Platform | None, auth: RegistryAuth
    ) -> None:
        """One tag; its lines."""
        async with self._pool.opened(reference, auth) as (distribution, repository):
            contents = await repository.contents(image.digest, platform)
            target, lines = distribution.repository(reference), LayerLines(emit, PUSHING)
            await repository.push(contents.top.digest, target, reference.tag, lines, source=image.source)
        top, size = contents.top.digest, len(contents.top.content)
        emit({"status": f"{reference.tag}: digest: {top} size: {size}"})
        emit({"progressDetail": {}, "aux": {"Tag": reference.tag, "Digest": top, "Size": size}})

    async def save(self, call: Call) -> web.StreamResponse:
        """An archive of one or more images."""
        single = call.parameters.get("name")
        names = [single] if single else [part for text in call.texts("names") for part in text.split(",") if part]
        found = await self._saved(names)
        platform = parse_platform(_platform_text(call.text("platform")))
        async with self._pool.opened() as (_, repository):
            archive = write_archive(repository.repository, found, lambda _: None, platform=platform)
            async with aclosing(archive) as pieces:
                first = await anext(pieces)
                response = await call.stream(TAR)
                await response.write(first)
                async for piece in pieces:
                    await response.write(piece)
        return response

    async def load(self, call: Call) -> web.StreamResponse:
        """Images of an archive, of Docker's form or an OCI layout."""
        platform, quiet = parse_platform(_platform_text(call.text("platform"))), call.boolean("quiet")
        with tempfile.NamedTemporaryFile(prefix="shoal-load-", buffering=0) as file:
            await _spool(call, file)

            async def work(emit: Emit) -> None:
                lines = LayerLines((lambda _: None) if quiet else emit, LOADING)
                with ExitStack() as stack:
                    images = await asyncio.to_thread(stack.enter_context, open_source(Path(file.name)))
                    async with self._pool.opened() as (_, repository):
                        loaded = await load(images, repository, lines, platform=platform, compression="fastest")
                for image in loaded:
                    await self._pool.set(image)
                    emit({"stream": _loaded_text(image)})

            return await stream_progress(call, work, at_once=True)

    async def commit(self, call: Call) -> web.StreamResponse:
        """A container's changes as a layer on its image."""
        view = await self._lookup.find(call.text("container"))
        repo, config = call.text("repo"), await call.json_object(optional=True)
        name = record_name(parse_image(repo, call.text("tag"))) if repo else ""
        request = CommitContainerRequest(
            container=reference_of(view),
            name=name,
            author=call.text("author"),
            message=call.text("comment"),
            changes=[*_instructions(Fields(config)), *_changes(call.texts("changes"))],
            no_pause=not call.boolean("pause", default=True),
        )
        image: Image = await self._managers.call(
            self._managers.containers.CommitContainer, request, seconds=COMMIT_SECONDS
        )
        identifier = image.variants[0].config_digest if image.variants else image.digest
        self._events.report(view, "commit", comment=request.message, imageID=identifier, imageRef=request.name)
        return call.json({"Id": identifier}, HTTPStatus.CREATED)

    async def _import(self, call: Call) -> web.StreamResponse:
        if call.text("fromSrc") != "-":
            raise not_implemented("import of URLs is not supported; send the archive as the body")
        reference = parse_image(call.text("repo"), call.text("tag")) if call.text("repo") else None
        settings = ImportSettings(
            platform=parse_platform(call.text("platform")) or host_platform(),
            created=datetime.now(UTC),
            name=record_name(reference) if reference is not None else "",
            changes=_changes(call.texts("changes")),
            message=call.text("message") or "Imported from -",
        )
        with tempfile.NamedTemporaryFile(prefix="shoal-import-", buffering=0) as file:
            await _spool(call, file)

            async def work(emit: Emit) -> None:
                with ExitStack() as stack:
                    plain: BinaryIO = await asyncio.to_thread(stack.enter_context, uncompressed(Path(file.name)))
                    images = await asyncio.to_thread(imported_image, plain, "-", settings)
                    async with self._pool.opened() as (_, repository):
                        (image,) = await load(images, repository, lambda _: None, compression="fastest")
                await self._pool.set(image)
                emit({"status": image.variants[0].config_digest})

            return await stream_progress(call, work)

    async def _saved(self, names: Sequence[str]) -> list[SavedImage]:
        """Digests with the names that are to stand in the archive: those that are given; none for an id."""
        found: dict[str, list[ImageReference]] = {}
        for name in names:
            view = await self._pool.find(name)
            tags = found.setdefault(view.image.digest, [])
            try:
                reference = parse(name).with_default_tag()
            except InvalidInput:
                continue
            if reference.tag and str(reference) in view.names and reference not in tags:
                tags.append(reference)
        if not found:
            raise NotFound("no image names were given")
        return [SavedImage(digest, tuple(tags)) for digest, tags in found.items()]


class _PullLines(LayerLines):
    """Lines of a pull; the first one says what is pulled, once the registry has answered."""

    def __init__(self, emit: Emit, reference: ImageReference) -> None:
        super().__init__(emit, PULLING)
        self._reference = reference
        self._begun = False

    def begin(self) -> None:
        """Emit the first line, if that was not done."""
        if not self._begun:
            self._begun = True
            target = self._reference.tag or self._reference.digest
            self._emit({"status": f"Pulling from {self._reference.path}", "id": target})

    def __call__(self, progress: Any) -> None:
        self.begin()
        super().__call__(progress)


def _not_here(reference: ImageReference) -> ShoalError:
    return not_found(f"An image does not exist locally with the tag: {familiar(reference.name)}")


async def _spool(call: Call, file: Any) -> None:
    """Write the body to a file as it comes. Raises Exhausted, Unavailable: its disk is full, or fails."""
    pending = bytearray()
    while data := await call.request.content.readany():
        pending += data
        if len(pending) >= SPOOL_BYTES:
            await _write(file, bytes(pending))
            pending.clear()
    await _write(file, bytes(pending))


async def _write(file: Any, data: bytes) -> None:
    def write() -> None:
        view = memoryview(data)
        while view:
            view = view[file.write(view) :]

    try:
        await asyncio.to_thread(write)
    except OSError as error:
        text = f"cannot store the archive at the engine in {tempfile.gettempdir()}: {error.strerror}"
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise Exhausted(f"{text}; free disk space there, or set the engine's TMPDIR") from error
        raise Unavailable(text) from error


def _loaded_text(image: Image) -> str:
    if image.name:
        return f"Loaded image: {familiar(image.name)}\n"
    return f"Loaded image ID: {image.variants[0].config_digest}\n"


def _changes(texts: Sequence[str]) -> list[str]:
    """Instructions, one a line."""
    return [line for text in texts for line in text.splitlines() if line.strip()]


def _instructions(config: Fields) -> list[str]:
    """`Config` of a commit as instructions of a Dockerfile."""
    found = [
        f"{word} {json.dumps(config.texts(key))}"
        for key, word in (("Cmd", "CMD"), ("Entrypoint", "ENTRYPOINT"))
        if config.texts(key)
    ]
    found += [
        f"ENV {name}={json.dumps(value)}" for name, _, value in (each.partition("=") for each in config.texts("Env"))
    ]
    found += [f"USER {config.text('User')}"] if config.text("User") else []
    found += [f"WORKDIR {config.text('WorkingDir')}"] if config.text("WorkingDir") else []
    found += [f"LABEL {json.dumps(name)}={json.dumps(value)}" for name, value in config.text_map("Labels").items()]
    found += [f"EXPOSE {port}" for port, _ in config.items("ExposedPorts")]
    return found + [f"VOLUME {json.dumps([path])}" for path, _ in config.items("Volumes")]


def _platform_text(text: str) -> str:
    """A platform that is a JSON object (version 1.48), as the text of the others."""
    if not text.startswith("{"):
        return text
    try:
        document = json.loads(text)
    except ValueError:
        return text
    return "/".join(str(document[key]) for key in ("os", "architecture", "variant") if document.get(key))
