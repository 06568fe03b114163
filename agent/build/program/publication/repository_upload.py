"""A build program as a client of the cluster's image repository. Imports httpx: import this at first use."""

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import aclosing, suppress
from pathlib import Path

import httpx

from agent.build.program.publication.image_documents import ImageDocuments
from shoal.distribution.digests import digest_of
from shoal.distribution.manifests import Descriptor
from shoal.distribution.registries import read_registries
from shoal.distribution.registry_client import Distribution, RawManifest
from shoal.distribution.retry_policy import RetryPolicy
from shoal.distribution.uploads import Uploader
from shoal.errors import InvalidInput, NotFound
from shoal.image_reference import parse
from shoal.images.archive_writer import SavedImage, write_archive
from shoal.images.image_copy import ImageCopy
from shoal.images.progress import LayerProgress
from shoal.images.repository_name import keeping_tag, parse_repository_name

_POLICY = RetryPolicy()


class RepositoryUpload:
    """Calls raise Unavailable, Unauthenticated, PermissionDenied: as registries answer. For one event loop."""

    def __init__(self, registries_file: Path, repository: str) -> None:
        self._distribution = Distribution(read_registries(registries_file), policy=_POLICY)
        self._target = self._distribution.repository(parse_repository_name(repository))
        self._uploader = Uploader(self._target)

    async def aclose(self) -> None:
        """Close connections."""
        await self._distribution.aclose()

    async def manifest(self, target: str) -> bytes:
        """A manifest by tag or digest. Raises NotFound."""
        return (await self._target.manifest(target)).content

    async def has_blob(self, digest: str) -> bool:
        """Whether a layer is there."""
        return await self._target.has_blob(digest)

    async def has_image(self, digest: str) -> bool:
        """Whether an image is kept there, with all that it has."""
        try:
            return await self._target.manifest_digest(keeping_tag(digest)) == digest
        except NotFound:
            return False

    async def copy_base(self, reference: str, layers: Sequence[Descriptor]) -> None:
        """Make sure that layers of an image are in the repository. Raises NotFound: they are in neither place."""
        origin = parse(reference)
        source = self._distribution.repository(origin)
        try:
            await ImageCopy(source, self._target, _ignore, policy=_POLICY).copy_blobs(layers)
        except (NotFound, InvalidInput) as error:
            raise type(error)(f"image {origin.familiar}, on which the build is based: {error}") from error

    async def put_blob(self, blob: Descriptor, open_blob: Callable[[int], AsyncIterator[bytes]]) -> None:
        """A layer or a configuration, unless it is there."""
        await self._uploader.put_blob(blob, open_blob)

    async def archive(self, digest: str, names: Sequence[str]) -> AsyncGenerator[bytes]:
        """An image as an archive, an OCI layout that `docker load` reads too. Raises as registries answer."""
        saved = SavedImage(digest, tuple(map(parse, names)))
        async with aclosing(write_archive(self._target, [saved], _ignore)) as pieces:
            async for piece in pieces:
                yield piece

    async def put_documents(self, documents: ImageDocuments, *, keeps: bool) -> None:
        """The configuration, then the manifest, which a tag keeps."""

        async def content(offset: int) -> AsyncIterator[bytes]:
            yield documents.config[offset:]

        await self.put_blob(documents.config_blob, content)
        target = keeping_tag(documents.digest) if keeps else documents.digest
        await self.put_manifest(documents.media_type, documents.manifest, target)

    async def put_manifest(self, media_type: str, content: bytes, tag: str) -> None:
        """A manifest under a tag; all that it names is there."""
        await self._uploader.put_manifest(RawManifest(media_type, digest_of(content), content), tag)


async def load_connections() -> None:
    """Load what httpx loads at its first request, by one that nobody answers."""
    transport = httpx.AsyncHTTPTransport(uds="/nonexistent/socket", verify=False, trust_env=False)
    async with httpx.AsyncClient(transport=transport, trust_env=False) as client:
        with suppress(httpx.HTTPError):
            await client.get("http://localhost/")


def _ignore(_: LayerProgress) -> None:
    return None
