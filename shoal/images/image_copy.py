"""Copies an image from one repository to another, blob by blob. Imports httpx: import this module at first use."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace

from shoal.distribution.manifests import Descriptor
from shoal.distribution.registry_client import RawManifest, Repository
from shoal.distribution.retry_policy import RetryPolicy
from shoal.distribution.uploads import Uploader
from shoal.errors import Unavailable
from shoal.images.image_contents import ImageContents, media_type_of
from shoal.images.progress import LayerState, Progress, report_blob
from shoal.images.source_blob import SourceBlob
from shoal.task_group import TaskGroup

PARALLEL = 3
"""Blobs at once, as in Docker's client."""


@dataclass(frozen=True)
class CopyResult:
    """What a copy did: blobs that were transferred, and those that were there or could be mounted."""

    transferred: int
    existing: int


class ImageCopy:
    """One copy. What is there already is not transferred again: a copy that broke off goes on when it is repeated.

    Args:
        source, target: repositories, of one registry or of two; each has its own credentials.
        mount_from: path of another repository of the target's registry that may have the blobs; the source's own comes
            first where it is of that registry.
    """

    def __init__(
        self,
        source: Repository,
        target: Repository,
        progress: Progress,
        *,
        mount_from: str = "",
        policy: RetryPolicy | None = None,
    ) -> None:
        self._source = source
        self._target = target
        self._progress = progress
        self._policy = policy or RetryPolicy()
        self._uploader = Uploader(target)
        same = source.transport.registry.domain == target.transport.registry.domain
        mount_from = source.path if same else mount_from
        self._mount_from = mount_from if mount_from != target.path else ""
        self._slots = asyncio.Semaphore(PARALLEL)
        self._transferred = self._existing = 0

    async def run(self, contents: ImageContents, tag: str) -> CopyResult:
        """Copy the image and put it under a tag: blobs first, then manifests, the tag last.

        Raises:
            InvalidInput: a blob is not what its digest names. Unavailable: one of the registries fails.
            NotFound, Unauthenticated, PermissionDenied: as the registries answer.
        """
        await self.copy_blobs(contents.blobs)
        if contents.is_index:
            for manifest in contents.manifests:
                await self._put(manifest.raw, manifest.raw.digest)
        await self._put(contents.top, tag)
        return CopyResult(self._transferred, self._existing)

    async def copy_blobs(self, blobs: Sequence[Descriptor]) -> None:
        """Copy blobs alone. Raises as `run` does."""
        for each in blobs:
            report_blob(self._progress, each, LayerState.WAITING, 0)
        for each in blobs[:1]:
            await self._blob(each)  # alone: whether the registry lets us in is asked once, not by all at once
        try:
            async with TaskGroup() as group:
                for each in blobs[1:]:
                    group.create_task(self._blob(each))
        except BaseExceptionGroup as errors:
            raise errors.exceptions[0] from None

    async def _put(self, raw: RawManifest, target: str) -> None:
        await self._uploader.put_manifest(replace(raw, media_type=media_type_of(raw)), target)

    async def _blob(self, blob: Descriptor) -> None:
        async with self._slots:
            if await self._transfer(blob):
                self._transferred += 1
                report_blob(self._progress, blob, LayerState.DONE, blob.size)
            else:
                self._existing += 1
                report_blob(self._progress, blob, LayerState.EXISTS, blob.size)

    async def _transfer(self, blob: Descriptor) -> bool:
        def report(done: int) -> None:
            report_blob(self._progress, blob, LayerState.TRANSFERRING, done)

        source = SourceBlob(self._source, blob, on_bytes=report, policy=self._policy)

        def open_blob(offset: int) -> AsyncIterator[bytes]:
            return source.open(offset)

        seconds = self._policy.layer_deadline(blob.size)
        try:
            async with asyncio.timeout(seconds):
                return await self._uploader.put_blob(blob, open_blob, mount_from=self._mount_from)
        except TimeoutError:
            raise Unavailable(
                f"{blob.digest[:19]} of {self._source.name} was not transferred within {seconds:.0f} s; "
                "repeat the command to continue with the others"
            ) from None
