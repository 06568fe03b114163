"""Images as files: one as a tar archive, the images of an archive, and a container's files as an image."""

import asyncio
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, aclosing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast

from aiohttp import web

from console.handlers.cluster_images import ClusterImages
from console.handlers.file_handlers import attachment_headers
from console.server.json_answers import answer, body_of, text_of
from shoal.api.v1.engine_pb2 import CommitContainerRequest, ImageView
from shoal.api.v1.standalone_pb2 import Image
from shoal.errors import Exhausted, InvalidInput, NotFound
from shoal.image_reference import ImageReference, parse
from shoal.manager_calls.managers import Managers

if TYPE_CHECKING:
    from shoal.images.image_repository import ImageRepository

MAX_ARCHIVE = 16 << 30
"""Bytes of an archive that a browser sends: it is on the console's disk until its images are in the repository."""
RESERVE = 1 << 30
"""Bytes that stay free on that disk."""
SPOOL_BYTES = 1 << 20
COMMIT_SECONDS = 3600.0


class ImageArchiveHandlers:
    """Calls about images as files."""

    def __init__(self, managers: Managers, images: ClusterImages) -> None:
        self._managers = managers
        self._images = images

    def routes(self) -> Iterable[web.RouteDef]:
        """Under `/api`. An image is named by `image` in the query: names have slashes."""
        yield web.get("/api/image/archive", self.save)
        yield web.post("/api/images/archive", self.load)
        yield web.post("/api/containers/{container}/commit", self.commit)

    async def save(self, request: web.Request) -> web.StreamResponse:
        """As `shoal save` writes it, all platforms of it, under the name that is asked for."""
        from shoal.images.archive_writer import SavedImage, write_archive  # httpx

        name = request.query.get("image", "")
        view = await self._images.find(name)
        reference = _named(view, name)
        saved = SavedImage(view.image.digest, (reference,) if reference is not None else ())
        with self._images.one_copy():
            async with self._images.opened(self._images.registries) as (_, repository):
                archive = write_archive(repository.repository, [saved], lambda _: None)
                async with aclosing(archive) as pieces:
                    first = await anext(pieces)  # what is missing is an error, and no half of a file
                    response = web.StreamResponse(headers=attachment_headers(_file_name(view, reference)))
                    await response.prepare(request)
                    await response.write(first)
                    async for piece in pieces:
                        await response.write(piece)
                    await response.write_eof()
        return response

    async def load(self, request: web.Request) -> web.StreamResponse:
        """The body is an archive: an OCI layout or what `docker save` writes, also compressed. Answers with its images.

        Nothing has a name before all of them are in the cluster's repository.
        """
        size = request.content_length
        if size is None or size > MAX_ARCHIVE:
            raise InvalidInput(f"an archive must say its size, and have {MAX_ARCHIVE:,} bytes at most")
        with self._images.one_copy(), tempfile.NamedTemporaryFile(prefix="shoal-load-") as file:
            if shutil.disk_usage(file.name).free < size + RESERVE:
                raise Exhausted("the console's disk has no room for the archive; use `shoal load`")
            async with self._images.opened(self._images.registries) as (_, repository):
                await _spool(request, cast(BinaryIO, file))
                loaded = await _load(Path(file.name), repository)
            for image in loaded:
                await self._images.set(image)
        found = [{"name": parse(each.name).familiar if each.name else "", "digest": each.digest} for each in loaded]
        return answer({"images": found}, status=201)

    async def commit(self, request: web.Request) -> web.StreamResponse:
        """A container's changes as a layer on its image; `pause` keeps it still meanwhile, unless it is false."""
        document = await body_of(request)
        changes, name = document.get("changes", []), text_of(document, "name").strip()
        if not isinstance(changes, list) or not all(isinstance(each, str) for each in changes):
            raise InvalidInput("changes: must be a list of instructions")
        call = CommitContainerRequest(
            container=request.match_info["container"],
            name=name,
            author=text_of(document, "author"),
            message=text_of(document, "message"),
            changes=changes,
            no_pause=document.get("pause") is False,
        )
        method = self._managers.containers.CommitContainer
        image: Image = await self._managers.call(method, call, seconds=COMMIT_SECONDS)
        return answer({"name": parse(image.name).familiar if image.name else "", "digest": image.digest}, status=201)


def _named(view: ImageView, name: str) -> ImageReference | None:
    """The name that is to stand in the archive; None: the image was asked for by its digest or its id."""
    try:
        reference = parse(name).with_default_tag()
    except InvalidInput:
        return None
    return reference if reference.tag and str(reference) in view.names else None


def _file_name(view: ImageView, reference: ImageReference | None) -> str:
    """ "web-2.1.tar"."""
    if reference is None:
        return f"{view.image.digest.partition(':')[2][:12]}.tar"
    return f"{reference.path.rpartition('/')[2]}-{reference.tag}.tar"


async def _load(path: Path, repository: "ImageRepository") -> list[Image]:
    from shoal.images.archive import open_source  # httpx
    from shoal.images.loading import load

    with ExitStack() as stack, _without_path(path):
        images = await asyncio.to_thread(stack.enter_context, open_source(path))
        return await load(images, repository, lambda _: None, compression="fastest")


async def _spool(request: web.Request, file: BinaryIO) -> None:
    """Write the body to a file as it comes."""
    async for piece in request.content.iter_chunked(SPOOL_BYTES):
        await asyncio.to_thread(file.write, piece)
    await asyncio.to_thread(file.flush)


@contextmanager
def _without_path(path: Path) -> Iterator[None]:
    """Errors name the archive, and not the file that it is in meanwhile."""
    try:
        yield
    except (InvalidInput, NotFound, Exhausted) as error:
        raise type(error)(str(error).replace(str(path), "the archive")) from error
