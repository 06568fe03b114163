"""The upload of one push. Imports the client, and with it httpx: import this at first use."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace

from shoal.distribution.digests import digest_of
from shoal.distribution.manifests import Descriptor, Index, Manifest, parse_manifest
from shoal.distribution.registry_client import RawManifest, Repository
from shoal.distribution.uploads import Uploader
from shoal.images.archive import ArchivedImages
from shoal.images.compress import Compressor
from shoal.images.image_copy import PARALLEL
from shoal.images.progress import LayerState, Progress, report_blob
from shoal.images.rewrite import with_replaced
from shoal.task_group import TaskGroup

_READ = 256 << 10


class Upload:
    """Takes manifests with their blobs from files to a repository; `sent` and `existing` count blobs."""

    def __init__(
        self, images: ArchivedImages, repository: Repository, compressor: Compressor, progress: Progress
    ) -> None:
        self.sent = self.existing = 0
        self._images = images
        self._uploader = Uploader(repository)
        self._compressor = compressor
        self._progress = progress
        self._slots = asyncio.Semaphore(PARALLEL)

    async def manifest(self, descriptor: Descriptor, target: str = "") -> Descriptor:
        """Push a manifest with all that it names; those of an index first. Returns it as it is in the repository: where
        layers were compressed on the way, another one.

        Args:
            target: a tag; its digest if empty.
        """
        content = self._images.manifest(descriptor.digest)
        parsed = parse_manifest(content, descriptor.media_type)
        if isinstance(parsed, Index):
            replaced = {each.digest: await self.manifest(each) for each in parsed.manifests}
        else:
            replaced = await self._compressor.layers(parsed)
            await self._blobs(parsed, replaced)
        changed = {digest: each for digest, each in replaced.items() if each.digest != digest}
        kind = _media_type(content, descriptor)
        content = with_replaced(content, changed)
        pushed = replace(descriptor, media_type=kind, digest=digest_of(content), size=len(content))
        await self._uploader.put_manifest(RawManifest(kind, pushed.digest, content), target or pushed.digest)
        return pushed

    async def _blobs(self, manifest: Manifest, replaced: dict[str, Descriptor]) -> None:
        await self._blob(manifest.config)  # alone: whether the registry lets us in is asked once, not by all at once
        layers = [replaced.get(each.digest, each) for each in manifest.layers]
        blobs = {each.digest: each for each in layers}
        try:
            async with TaskGroup() as group:
                for each in blobs.values():
                    group.create_task(self._blob(each))
        except BaseExceptionGroup as errors:
            raise errors.exceptions[0] from None

    async def _blob(self, blob: Descriptor) -> None:
        async with self._slots:
            if await self._uploader.put_blob(blob, lambda offset: self._read(blob, offset)):
                self.sent += 1
                report_blob(self._progress, blob, LayerState.DONE, blob.size)
            else:
                self.existing += 1
                report_blob(self._progress, blob, LayerState.EXISTS, blob.size)

    async def _read(self, blob: Descriptor, offset: int) -> AsyncIterator[bytes]:
        path, position = self._compressor.file(blob.digest), offset
        with path.open("rb") if path else self._images.open_blob(blob.digest) as file:
            file.seek(offset)
            while chunk := file.read(_READ):
                position += len(chunk)
                report_blob(self._progress, blob, LayerState.TRANSFERRING, position)
                yield chunk


def _media_type(content: bytes, descriptor: Descriptor) -> str:
    """The document's own word, which the registry compares with the header."""
    return str(json.loads(content).get("mediaType") or descriptor.media_type)
