"""Puts an image into the cluster's image repository: layers, configuration, manifest. Imports httpx at first use."""

import asyncio
import threading
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agent.build.frames import UPLOADED
from agent.build.program.caching.cached_steps import CachedStep, cache_field
from agent.build.program.caching.layer_cache import LayerCache
from agent.build.program.planning import BaseImage, BaseImages
from agent.build.program.publication.image_documents import ImageDocuments, image_documents, time_text
from agent.build.program.publication.layer_blob import BlobWriter, Compression, LayerBlob, write_blob
from agent.build.program.results import Layer, Layers, Result
from agent.build.program.workspace import Workspace
from shoal.api.v1.builds_pb2 import BuildStart
from shoal.distribution.image_config import layers_by_diff_id
from shoal.distribution.manifests import Descriptor, Manifest, parse_manifest
from shoal.dockerfile.evaluation.build_sources import ImageSource
from shoal.dockerfile.evaluation.evaluate import Evaluation, image_config
from shoal.errors import InvalidInput
from shoal.images.committed_image import EMPTY_DIFF_ID
from shoal.images.json_bytes import to_bytes
from shoal.threaded_call import in_thread

_READ = 256 << 10


@dataclass
class Publisher:
    """Publishes one image. For one event loop."""

    workspace: Workspace
    images: BaseImages
    cache: LayerCache
    compression: Compression = field(default_factory=Compression)
    _blobs: dict[str, "asyncio.Future[LayerBlob]"] = field(default_factory=dict)
    _uploads: dict[str, "asyncio.Task[Descriptor]"] = field(default_factory=dict)

    def blob_writer(self) -> BlobWriter:
        """Compresses a layer while its digest is computed; `keep_blob` is told of it."""
        return BlobWriter(self._new_blob(), self.compression, self.workspace.budget())

    def keep_blob(self, layer: Layer, blob: LayerBlob) -> None:
        """A layer has been compressed; it is uploaded from now on, for the image or for the cache at least."""
        if layer.diff_id in self._blobs:  # another step makes the same
            blob.path.unlink()
            return
        done: asyncio.Future[LayerBlob] = asyncio.get_running_loop().create_future()
        done.set_result(blob)
        self._blobs[layer.diff_id] = done
        self.upload(layer).add_done_callback(_seen)  # beside the steps that follow

    def _new_blob(self) -> Path:
        return self.workspace.new("blob") / "blob"

    def _compressed(self, layer: Layer) -> "asyncio.Future[LayerBlob]":
        """A layer that was not made by this build; once for each."""
        if layer.diff_id not in self._blobs:
            self._blobs[layer.diff_id] = asyncio.create_task(self._compress(layer), name=f"compress {layer.diff_id}")
        return self._blobs[layer.diff_id]

    async def _compress(self, layer: Layer) -> LayerBlob:
        (here,) = _layers(await self.cache.present(Layers((layer,)))).lower
        path, stop = self._new_blob(), threading.Event()
        return await in_thread(
            lambda: write_blob(here, layer.diff_id, path, self.compression, self.workspace.budget(), stop),
            on_cancel=stop.set,
        )

    def upload(self, layer: Layer) -> "asyncio.Task[Descriptor]":
        """Put a layer into the repository, unless it is there; once for each."""
        if layer.diff_id not in self._uploads:
            self._uploads[layer.diff_id] = asyncio.create_task(self._upload(layer), name=f"upload {layer.diff_id}")
        return self._uploads[layer.diff_id]

    async def _upload(self, layer: Layer) -> Descriptor:
        client = self.cache.registry.client()
        if layer.blob is not None and await client.has_blob(layer.blob.digest):
            return layer.blob
        blob = await self._compressed(layer)
        await client.put_blob(blob.descriptor, lambda offset: read_file(blob.path, offset))
        return blob.descriptor

    async def publish(
        self,
        evaluation: Evaluation,
        result: Layers,
        start: BuildStart,
        *,
        keeps: bool = True,
        steps: Sequence[CachedStep] = (),
    ) -> ImageDocuments:
        """Put the image of the target's layers into the repository; nothing names it yet.

        Args:
            keeps: otherwise the registry's garbage collection removes it again.
            steps: that other builds find in it.
        Raises:
            InvalidInput, NotFound, Unavailable, Unauthenticated, PermissionDenied: as registries answer.
        """
        result = result if result.layers else Layers((self._empty_layer(),))
        bases = await self._bases(evaluation)
        known = {diff_id: blob for base in bases for diff_id, blob in _descriptors(base).items()}
        new = {each.diff_id: each for each in result.layers if each.diff_id not in known}
        config = image_config(evaluation.target, result.diff_ids, _created(result, bases))
        config = {**config, **cache_field(steps)} if steps else config
        stored = known | {diff_id: each.blob for diff_id, each in new.items() if each.blob is not None}
        if stored.keys() >= set(result.diff_ids):
            documents = _documents(config, result, stored, start)
            if await self.cache.registry.client().has_image(documents.digest):
                return documents  # as the same build has left it
        await self._copy_bases(bases, frozenset(result.diff_ids))
        uploads = await asyncio.gather(*map(self.upload, new.values()))
        await self.cache.connection.blobs(dict(zip(new, uploads, strict=True)), UPLOADED)
        documents = _documents(config, result, known | dict(zip(new, uploads, strict=True)), start)
        await self.cache.registry.client().put_documents(documents, keeps=keeps)
        return documents

    async def _copy_bases(self, bases: Sequence[BaseImage], used: frozenset[str]) -> None:
        for base in bases:
            below = [blob for diff_id, blob in _descriptors(base).items() if diff_id in used]
            if below:
                await self.cache.registry.client().copy_base(base.reference, below)

    def _empty_layer(self) -> Layer:
        """An image has one layer at least."""
        return Layer(EMPTY_DIFF_ID, self.workspace.empty)

    async def _bases(self, evaluation: Evaluation) -> Sequence[BaseImage]:
        sources = {stage.base: None for stage in evaluation.stages.values() if isinstance(stage.base, ImageSource)}
        return [await self.images.get(source) for source in sources]


def _documents(
    config: Mapping[str, Any], result: Layers, blobs: Mapping[str, Descriptor], start: BuildStart
) -> ImageDocuments:
    return image_documents(config, [blobs[each] for each in result.diff_ids], oci=start.media_types == "oci")


def _created(result: Layers, bases: Sequence[BaseImage]) -> str:
    """When the newest layer was made; of an image without a new one, as that below says."""
    newest = max((each.created_at_ms for each in result.layers), default=0)
    below = next((str(base.config.get("created")) for base in bases if base.config.get("created")), "")
    return time_text(newest) if newest or not below else below


def _layers(result: Result) -> Layers:
    assert isinstance(result, Layers)
    return result


def _descriptors(base: BaseImage) -> Mapping[str, Descriptor]:
    parsed = parse_manifest(to_bytes(base.manifest))
    if not isinstance(parsed, Manifest):
        raise InvalidInput(f"image {base.reference} is an index")
    return layers_by_diff_id(parsed, base.layers.diff_ids)


def _seen(task: "asyncio.Task[Descriptor]") -> None:
    """Whoever needs the layer has the error; a build that ends before has no use for it."""
    if not task.cancelled():
        task.exception()


async def read_file(path: Path, offset: int) -> AsyncIterator[bytes]:
    """A file from an offset on."""
    with path.open("rb") as file:
        file.seek(offset)
        while chunk := file.read(_READ):
            yield chunk
