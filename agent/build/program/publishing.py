"""Puts an image into the cluster's image repository: layers, configuration, manifest. Imports httpx at first use."""

import asyncio
import threading
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from agent.build.frames import ProgramSettings
from agent.build.program.image_documents import ImageDocuments, image_documents, time_text
from agent.build.program.layer_blob import LayerBlob, write_blob
from agent.build.program.planning import BaseImage, BaseImages
from agent.build.program.results import Layer, Layers
from agent.build.program.workspace import Workspace
from agent.images.threaded_call import in_thread
from shoal.api.v1.builds_pb2 import BuildStart
from shoal.distribution.image_config import layers_by_diff_id
from shoal.distribution.manifests import Descriptor, Manifest, parse_manifest
from shoal.dockerfile.evaluation.build_sources import ImageSource
from shoal.dockerfile.evaluation.evaluate import Evaluation, image_config
from shoal.errors import InvalidInput
from shoal.images.json_bytes import to_bytes
from shoal.task_group import TaskGroup

_READ = 256 << 10
_PARALLEL = 3


@dataclass
class Publisher:
    """Publishes one image. For one event loop."""

    settings: ProgramSettings
    workspace: Workspace
    images: BaseImages
    _blobs: dict[str, "asyncio.Task[LayerBlob]"] = field(default_factory=dict)

    def compress_soon(self, layer: Layer) -> "asyncio.Task[LayerBlob]":
        """Begin to compress a layer, beside what else is done; once for each."""
        if layer.diff_id not in self._blobs:
            self._blobs[layer.diff_id] = asyncio.create_task(self._compress(layer), name=f"compress {layer.diff_id}")
        return self._blobs[layer.diff_id]

    async def _compress(self, layer: Layer) -> LayerBlob:
        path, stop = self.workspace.new("blob") / "blob", threading.Event()
        return await in_thread(
            lambda: write_blob(layer.directory, layer.diff_id, path, self.workspace.budget(), stop),
            on_cancel=stop.set,
        )

    async def publish(self, evaluation: Evaluation, result: Layers, start: BuildStart) -> ImageDocuments:
        """Put the image of the target's layers into the repository; nothing names it yet.

        Raises:
            InvalidInput, NotFound, Unavailable, Unauthenticated, PermissionDenied: as registries answer.
        """
        result = result if result.layers else Layers((self._empty_layer(),))
        bases = await self._bases(evaluation)
        known = {diff_id: blob for base in bases for diff_id, blob in _descriptors(base).items()}
        new = {each.diff_id: each for each in result.layers if each.diff_id not in known}
        blobs = {diff_id: await self.compress_soon(layer) for diff_id, layer in new.items()}
        created = time_text(max((each.created_at_ms for each in result.layers), default=0))
        if not any(each.created_at_ms for each in result.layers):
            created = next((str(base.config.get("created")) for base in bases if base.config.get("created")), created)
        config = image_config(evaluation.target, result.diff_ids, created)
        layers = [blobs[each].descriptor if each in blobs else known[each] for each in result.diff_ids]
        documents = image_documents(config, layers, oci=start.media_types == "oci")
        used = [base for base in bases if set(result.diff_ids) & set(_descriptors(base))]
        await self._upload(documents, list(blobs.values()), used, frozenset(result.diff_ids))
        return documents

    def _empty_layer(self) -> Layer:
        """An image has one layer at least."""
        from shoal.images.committed_image import EMPTY_DIFF_ID

        return Layer(EMPTY_DIFF_ID, self.workspace.empty)

    async def _bases(self, evaluation: Evaluation) -> Sequence[BaseImage]:
        sources = {stage.base: None for stage in evaluation.stages.values() if isinstance(stage.base, ImageSource)}
        return [await self.images.get(source) for source in sources]

    async def _upload(
        self, documents: ImageDocuments, blobs: Sequence[LayerBlob], bases: Sequence[BaseImage], used: frozenset[str]
    ) -> None:
        from agent.build.program.repository_upload import RepositoryUpload

        async with RepositoryUpload(self.settings) as upload:
            for base in bases:
                below = [blob for diff_id, blob in _descriptors(base).items() if diff_id in used]
                await upload.copy_base(base.reference, below)
            slots = asyncio.Semaphore(_PARALLEL)

            async def put(blob: LayerBlob) -> None:
                async with slots:
                    await upload.put_blob(blob.descriptor, lambda offset: read_file(blob.path, offset))

            try:
                async with TaskGroup() as group:
                    for each in blobs:
                        group.create_task(put(each))
            except BaseExceptionGroup as errors:
                raise errors.exceptions[0] from None
            await upload.put_documents(documents)


def _descriptors(base: BaseImage) -> Mapping[str, Descriptor]:
    parsed = parse_manifest(to_bytes(base.manifest))
    if not isinstance(parsed, Manifest):
        raise InvalidInput(f"image {base.reference} is an index")
    return layers_by_diff_id(parsed, base.layers.diff_ids)


async def read_file(path: Path, offset: int) -> AsyncIterator[bytes]:
    """A file from an offset on."""
    with path.open("rb") as file:
        file.seek(offset)
        while chunk := file.read(_READ):
            yield chunk
