"""One push under way. Imports the client, and with it httpx: import this at first use."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable

from cli.images.archive import ImageSource
from shoal.distribution.client import RawManifest, Repository
from shoal.distribution.manifests import Descriptor, Index, Manifest, parse_manifest
from shoal.distribution.uploads import Uploader
from shoal.task_group import TaskGroup

_READ = 256 << 10
_PARALLEL = 3


class Upload:
    """Takes manifests with their blobs from files to a repository; `sent` and `there` count blobs."""

    def __init__(self, images: ImageSource, repository: Repository, progress: Callable[[str], None]) -> None:
        self.sent = self.there = 0
        self._images = images
        self._uploader = Uploader(repository)
        self._progress = progress
        self._slots = asyncio.Semaphore(_PARALLEL)

    async def manifest(self, descriptor: Descriptor, target: str) -> str:
        """Push a manifest with all that it names; those of an index first. Returns its digest."""
        content = self._images.manifest(descriptor.digest)
        parsed = parse_manifest(content, descriptor.media_type)
        if isinstance(parsed, Index):
            for each in parsed.manifests:
                await self.manifest(each, each.digest)
        else:
            await self._blobs(parsed)
        raw = RawManifest(_media_type(content, descriptor), descriptor.digest, content)
        return await self._uploader.put_manifest(raw, target)

    async def _blobs(self, manifest: Manifest) -> None:
        await self._blob(manifest.config)  # alone: whether the registry lets us in is asked once, not by all at once
        blobs = {each.digest: each for each in manifest.layers}
        try:
            async with TaskGroup() as group:
                for each in blobs.values():
                    group.create_task(self._blob(each))
        except BaseExceptionGroup as errors:
            raise errors.exceptions[0] from None

    async def _blob(self, blob: Descriptor) -> None:
        async with self._slots:
            if await self._uploader.put_blob(blob, lambda offset: self._read(blob.digest, offset)):
                self.sent += 1
                self._progress(f"pushed {blob.digest[:19]} ({blob.size / 1e6:.1f} MB)")
            else:
                self.there += 1
                self._progress(f"{blob.digest[:19]} is there already")

    async def _read(self, digest: str, offset: int) -> AsyncIterator[bytes]:
        with self._images.open_blob(digest) as file:
            file.seek(offset)
            while chunk := file.read(_READ):
                yield chunk


def _media_type(content: bytes, descriptor: Descriptor) -> str:
    """The document's own word, which the registry compares with the header."""
    return str(json.loads(content).get("mediaType") or descriptor.media_type)
