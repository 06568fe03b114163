"""A build program as a client of the cluster's image repository. Imports httpx: import this at first use."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from agent.build.frames import ProgramSettings
from agent.build.program.image_documents import ImageDocuments
from shoal.distribution.manifests import Descriptor
from shoal.distribution.registries import read_registries
from shoal.distribution.registry_client import Distribution, RawManifest
from shoal.distribution.retry_policy import RetryPolicy
from shoal.distribution.uploads import Uploader
from shoal.errors import InvalidInput, NotFound
from shoal.image_reference import parse
from shoal.images.image_copy import ImageCopy
from shoal.images.progress import LayerProgress
from shoal.images.repository_name import keeping_tag, parse_repository_name

_POLICY = RetryPolicy()


class RepositoryUpload:
    """An async context manager. Calls raise Unavailable, Unauthenticated, PermissionDenied: as registries answer."""

    def __init__(self, settings: ProgramSettings) -> None:
        self._stack = AsyncExitStack()
        self._distribution = Distribution(read_registries(Path(settings.registries_file)), policy=_POLICY)
        self._target = self._distribution.repository(parse_repository_name(settings.image_repository))

    async def __aenter__(self) -> Self:
        await self._stack.enter_async_context(self._distribution)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    async def copy_base(self, reference: str, layers: Sequence[Descriptor]) -> None:
        """Make sure that layers of an image are in the repository. Raises NotFound: they are in neither place."""
        origin = parse(reference)
        source = self._distribution.repository(origin)
        try:
            await ImageCopy(source, self._target, _ignore, policy=_POLICY).copy_blobs(layers)
        except (NotFound, InvalidInput) as error:
            raise type(error)(f"image {origin.familiar}, on which the build is based: {error}") from error

    async def put_blob(self, blob: Descriptor, open_blob: Callable[[int], AsyncIterator[bytes]]) -> None:
        """A layer, unless it is there."""
        await Uploader(self._target).put_blob(blob, open_blob)

    async def put_documents(self, documents: ImageDocuments) -> None:
        """The configuration, then the manifest, which is kept by its tag."""
        uploader = Uploader(self._target)

        async def content(offset: int) -> AsyncIterator[bytes]:
            yield documents.config[offset:]

        await uploader.put_blob(documents.config_blob, content)
        manifest = RawManifest(documents.media_type, documents.digest, documents.manifest)
        await uploader.put_manifest(manifest, keeping_tag(documents.digest))


def _ignore(_: LayerProgress) -> None:
    return None
