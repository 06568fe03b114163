"""The cluster's image repository: one repository of its registry that holds every image of the cluster once.

A manifest is kept there by a tag made of its digest; names are records of the cluster, and no tags. Imports httpx:
import this module at first use.
"""

from collections.abc import Iterable, Sequence

from shoal.api.v1.standalone_pb2 import Image, ImageVariant
from shoal.distribution.manifests import Platform
from shoal.distribution.registry_client import Distribution, RawManifest, Repository
from shoal.distribution.uploads import Uploader
from shoal.errors import NotFound
from shoal.image_reference import ImageReference, parse
from shoal.images.image_contents import ImageContents, media_type_of, read_contents
from shoal.images.image_copy import CopyResult, ImageCopy
from shoal.images.image_record import read_variants
from shoal.images.progress import Progress
from shoal.images.repository_name import keeping_tag, parse_repository_name, record_name


class ImageRepository:
    """Images by digest.

    Args:
        distribution: with the credentials for the cluster's registry.
        name: as the cluster's record has it: "registry:5000/shoal/pool".
    Raises:
        InvalidInput: it is no name of a repository.
    """

    def __init__(self, distribution: Distribution, name: str) -> None:
        self.reference = parse_repository_name(name)
        self.repository: Repository = distribution.repository(self.reference)

    async def pull(
        self, source: Repository, reference: ImageReference, progress: Progress, *, platform: Platform | None = None
    ) -> Image:
        """Copy an image of another repository into this one; what the cluster's record says of it, without meta.

        Args:
            source: repository of the reference, with the credentials of whoever pulls.
            platform: that one alone; the image's digest is then its manifest's.
        Raises:
            ShoalError: as `read_contents`, `ImageCopy.run` and `read_variants` do.
        """
        contents = await read_contents(source, reference.target, platform)
        variants = await read_variants(source, contents)
        await ImageCopy(source, self.repository, progress).run(contents, keeping_tag(contents.top.digest))
        origin = str(reference.with_default_tag().with_digest(contents.top.digest))
        return _record(record_name(reference), contents, variants, source=origin)

    async def push(
        self, digest: str, target: Repository, tag: str, progress: Progress, *, source: str = ""
    ) -> CopyResult:
        """Copy an image of this repository under a tag of another one. Raises as `ImageCopy.run` does.

        Args:
            source: where it was pulled from, as its record says: a repository of the same registry lends its blobs.
        """
        origin = parse(source) if source else None
        lends = origin is not None and origin.domain == target.transport.registry.domain
        mount_from = origin.path if origin is not None and lends else ""
        contents = await self.contents(digest)
        return await ImageCopy(self.repository, target, progress, mount_from=mount_from).run(contents, tag)

    async def contents(self, digest: str, platform: Platform | None = None) -> ImageContents:
        """What an image here consists of. Raises as `read_contents` does."""
        return await read_contents(self.repository, digest, platform)

    async def adopt(self, digest: str, name: str, *, source: str = "", is_kept: bool = False) -> Image:
        """Keep an image whose manifests and blobs were put here already; what the cluster's record says of it.

        Args:
            name: normalized reference; empty for none.
            is_kept: its tag was put there too.
        Raises:
            InvalidInput: its configuration is none, or another image's. NotFound: it is not here.
        """
        contents = await self.contents(digest)
        variants = await read_variants(self.repository, contents)
        if not is_kept:
            await self.keep(contents.top)
        return _record(name, contents, variants, source=source)

    async def keep(self, top: RawManifest) -> None:
        """Tag a manifest by its digest, so that the registry's garbage collection leaves it."""
        raw = RawManifest(media_type_of(top), top.digest, top.content)
        await Uploader(self.repository).put_manifest(raw, keeping_tag(top.digest))

    async def has(self, digest: str) -> bool:
        """Whether an image is kept here.

        Raises:
            Unavailable, Unauthenticated, PermissionDenied: the registry does not say.
        """
        try:
            return await self.repository.manifest_digest(keeping_tag(digest)) == digest
        except NotFound:
            return False

    async def has_manifests(self, digests: Iterable[str]) -> bool:
        """Whether manifests are here, kept by a tag or by an index. Raises as `has` does."""
        for digest in digests:
            try:
                await self.repository.manifest_digest(digest)
            except NotFound:
                return False
        return True

    async def forget(self, digest: str) -> bool:
        """Keep an image no longer; False where it was not kept. Its bytes go when the registry collects garbage.

        Raises:
            Refused: the registry does not delete.
        """
        return await self.repository.delete_manifest(digest)


def _record(name: str, contents: ImageContents, variants: Sequence[ImageVariant], *, source: str) -> Image:
    return Image(name=name, digest=contents.top.digest, variants=variants, source=source)
