"""Caches of `cache_from`, images of registries or contexts: layers that they have, with their keys.

Imports httpx at first use.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from agent.build.program.agent_connection import AgentConnection
from agent.build.program.caching.cache_layout import CacheLayout
from agent.build.program.caching.cached_steps import CachedStep, read_cache_field
from agent.build.program.caching.registry_cache import RegistryCache
from agent.build.program.results import Layer, Layers, Tree
from shoal.api.v1.builds_pb2 import BuildOutput, BuildWarning
from shoal.distribution.image_config import layers_by_diff_id
from shoal.distribution.manifests import Descriptor, Manifest
from shoal.errors import InvalidInput, NotFound, ShoalError
from shoal.spec_parsers.builds.build_caches import CacheSpec
from shoal.threaded_call import in_thread

if TYPE_CHECKING:
    from agent.build.program.publication.user_registries import UserRegistries


@dataclass(frozen=True)
class CacheImage:
    """Attributes:
    reference: by digest. diff_ids: the lowest first. blobs: by diff ID. steps: by key. layout: where it came so.
    """

    reference: str
    diff_ids: tuple[str, ...]
    blobs: Mapping[str, Descriptor]
    steps: Mapping[str, CachedStep]
    layout: CacheLayout | None = None


def cache_image(
    reference: str, manifest: Manifest, config: Mapping[str, Any], layout: CacheLayout | None = None
) -> CacheImage:
    """From documents that anybody may have written. Raises InvalidInput: they do not fit to each other."""
    rootfs = config.get("rootfs")
    diff_ids = rootfs.get("diff_ids") if isinstance(rootfs, dict) else None
    if not isinstance(diff_ids, list) or not all(isinstance(each, str) for each in diff_ids):
        raise InvalidInput(f"image {reference} has no list of layers")
    blobs = layers_by_diff_id(manifest, diff_ids)
    steps = {each.key: each for each in read_cache_field(config) if each.diff_id in blobs}
    return CacheImage(reference, tuple(diff_ids), blobs, steps, layout)


@dataclass
class CacheImages:
    """For one event loop. An image that cannot be read is told as a warning, and has nothing.

    Attributes:
        caches: all of `cache_from`. registries: with the user's credentials. tree: a context by name.
    """

    connection: AgentConnection
    caches: Sequence[CacheSpec]
    registries: "Callable[[], UserRegistries]"
    registry: RegistryCache
    tree: Callable[[str], Awaitable[Tree]]
    _reading: "asyncio.Task[Sequence[CacheImage]] | None" = field(default=None)

    async def find(self, key: str) -> Layer | None:
        """A layer by key, which is in the cluster's image repository then. Raises as registries answer."""
        for image in await self._images():
            step = image.steps.get(key)
            if step is None:
                continue
            blob = image.blobs[step.diff_id]
            await self._copy(image, blob)
            await self.registry.put(key, Layer(step.diff_id, None, step.created_at_ms), blob, step.description)
            return await self.registry.find(key)
        return None

    async def _copy(self, image: CacheImage, blob: Descriptor) -> None:
        """Into the cluster's image repository, which checks the digest."""
        if image.layout is None:
            await self.registries().copy_layers(image.reference, [blob])
        else:
            await self.registry.client().put_blob(blob, partial(image.layout.content, blob))

    async def has(self, below: Layers, layer: Layer, *, is_linked: bool) -> bool:
        """Whether an image has a layer on the same layers; of one that is on none (`--link`), whether it has it."""
        chain = (*below.diff_ids, layer.diff_id)
        images = await self._images()
        if is_linked:
            return any(layer.diff_id in each.diff_ids for each in images)
        return any(each.diff_ids[: len(chain)] == chain for each in images)

    async def _images(self) -> Sequence[CacheImage]:
        if self._reading is None:
            self._reading = asyncio.create_task(self._read_all(), name="images of cache_from")
        return await asyncio.shield(self._reading)

    async def _read_all(self) -> Sequence[CacheImage]:
        found = await asyncio.gather(*map(self._read, self.caches))
        return [each for each in found if each is not None]

    async def _read(self, cache: CacheSpec) -> CacheImage | None:
        try:
            if cache.kind == "local":
                return await self._read_layout(cache)
            pinned = await self.registries().stored(await self._resolve(cache.reference))
            manifest, config = await self.registries().documents(pinned)
            return cache_image(pinned, manifest, json.loads(config))
        except (ShoalError, ValueError) as error:
            text = f"the cache of {cache.reference or cache.context} is not used: {error}"
            await self.connection.output(BuildOutput(warning=BuildWarning(text=text)))
            return None

    async def _read_layout(self, cache: CacheSpec) -> CacheImage:
        layout = CacheLayout((await self.tree(cache.context)).directory)
        manifest, config = await in_thread(layout.documents)
        return cache_image(cache.context, manifest, config, layout)

    async def _resolve(self, reference: str) -> str:
        """The cluster's names come first, then the registry with the user's credentials."""
        try:
            return str((await self.connection.ask("resolve", reference=reference))["reference"])
        except NotFound:
            return await self.registries().pin(reference)
