"""Finds layers by key on this host, then in the cluster's image repository; fetches those that are needed."""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from agent.build.frames import NewLayer
from agent.build.program.agent_connection import AgentConnection
from agent.build.program.caching.cache_images import CacheImages
from agent.build.program.caching.registry_cache import RegistryCache
from agent.build.program.results import Layer, Layers, Result
from shoal.distribution.manifests import Descriptor
from shoal.errors import ShoalError

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class KeyedLayer:
    """A layer with its key, for the repository's cache."""

    key: str
    layer: Layer
    description: str


@dataclass
class LayerCache:
    """For one event loop.

    Attributes:
        unpublished: layers that other nodes cannot find yet.
        used: all that were made or found, by key. imported: images of `cache_from`, which are searched last.
    """

    connection: AgentConnection
    registry: RegistryCache
    unpublished: list[KeyedLayer] = field(default_factory=list)
    used: dict[str, KeyedLayer] = field(default_factory=dict)
    imported: CacheImages | None = None
    _fetches: dict[str, "asyncio.Task[Path]"] = field(default_factory=dict)

    async def find(self, key: str, description: str, *, ask_registry: bool) -> Layer | None:
        """A layer by key; where it is found here and has never been published, it will be.

        Args:
            ask_registry: also in the repository.
        """
        answer = await self.connection.ask("find", key=key)
        if answer["found"]:
            blob = Descriptor(**answer["blob"]) if answer["blob"] else None
            layer = Layer(answer["diff_id"], Path(answer["directory"]), answer["created_at_ms"], blob)
            if not answer["is_published"]:
                self.unpublished.append(KeyedLayer(key, layer, description))
            return layer
        found = await self._find_elsewhere(key) if ask_registry else None
        if found is not None:
            await self._remember(key, found, description)
        return found

    async def _find_elsewhere(self, key: str) -> Layer | None:
        found = await self.registry.find(key)
        if found is not None or self.imported is None:
            return found
        try:
            return await self.imported.find(key)
        except ShoalError as error:
            _log.warning("the cache of an image is not used: %s", error)
            return None

    def use(self, key: str, layer: Layer, description: str) -> None:
        """A layer is part of the build: it is exported with its cache."""
        self.used[key] = KeyedLayer(key, layer, description)

    async def add(self, key: str, layer: Layer, description: str, size: int) -> None:
        """Have the agent keep a new layer."""
        self.unpublished.append(KeyedLayer(key, layer, description))
        directory = str(layer.directory)
        await self.connection.layer(NewLayer(directory, layer.diff_id, key, description, size, layer.created_at_ms))

    async def _remember(self, key: str, layer: Layer, description: str) -> None:
        """The agent finds it by the key from now on, once it has been fetched."""
        size = layer.blob.size if layer.blob is not None else 0
        await self.connection.layer(NewLayer("", layer.diff_id, key, description, size, layer.created_at_ms))
        if layer.blob is not None:
            await self.connection.blobs({layer.diff_id: layer.blob})

    async def present(self, result: Result) -> Result:
        """The same with all of its layers on this host. Raises as the agent's pull does."""
        if not isinstance(result, Layers):
            return result
        missing = [each for each in result.layers if each.directory is None]
        if not missing:
            return result
        paths = await asyncio.gather(*map(self._fetch, missing))
        directories = {each.diff_id: path for each, path in zip(missing, paths, strict=True)}
        return Layers(
            tuple(replace(each, directory=directories.get(each.diff_id, each.directory)) for each in result.layers)
        )

    async def _fetch(self, layer: Layer) -> Path:
        if layer.diff_id not in self._fetches:
            self._fetches[layer.diff_id] = asyncio.create_task(self._ask_for(layer))
        return await asyncio.shield(self._fetches[layer.diff_id])

    async def _ask_for(self, layer: Layer) -> Path:
        answer = await self.connection.ask("layer", reference=layer.reference, diff_id=layer.diff_id)
        return Path(answer["directory"])

    async def publish(self, blob_of: Callable[[Layer], "asyncio.Task[Descriptor]"]) -> None:
        """Let other nodes find what this build has made; what fails is logged, and tried again by another build."""
        for each in self.unpublished:
            try:
                blob = await blob_of(each.layer)
                await self.registry.put(each.key, each.layer, blob, each.description)
                await self.connection.blobs({each.layer.diff_id: blob})
            except ShoalError as error:
                _log.warning("layer %s is not in the cache of the image repository: %s", each.layer.diff_id, error)
                return
