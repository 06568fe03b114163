"""`cache_to`: keys in the image itself, or an image of layers with their keys, in a registry or for who builds."""

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from agent.build.program.agent_connection import AgentConnection
from agent.build.program.caching.cached_steps import CachedStep, cache_config
from agent.build.program.caching.layer_cache import KeyedLayer, LayerCache
from agent.build.program.publication.image_documents import image_documents
from agent.build.program.publication.output_pieces import send_pieces
from agent.build.program.publication.publishing import Publisher
from agent.build.program.results import Layers
from shoal.api.v1.builds_pb2 import BuildOutput
from shoal.errors import ShoalError
from shoal.spec_parsers.builds.build_caches import CacheSpec, read_cache

if TYPE_CHECKING:
    from agent.build.program.publication.user_registries import UserRegistries

_log = logging.getLogger(__name__)


class CacheExport:
    """The caches that a build exports. For one event loop.

    Args:
        texts: as of `BuildStart.cache_to`.
        registries: with the user's credentials.
    Raises:
        InvalidInput: one is no cache.
    """

    def __init__(
        self,
        texts: Iterable[str],
        connection: AgentConnection,
        cache: LayerCache,
        publisher: Publisher,
        platform: tuple[str, str, str],
        registries: "Callable[[], UserRegistries]",
    ) -> None:
        specs = [read_cache(each, export=True) for each in texts]
        self._is_inline = any(each.kind == "inline" for each in specs)
        self._targets = [each for each in specs if each.kind != "inline"]
        self._connection = connection
        self._cache = cache
        self._publisher = publisher
        self._platform = platform
        self._registries = registries

    def inline(self, result: Layers) -> Sequence[CachedStep]:
        """What the image itself tells; none unless that is requested."""
        return _steps(self._chosen(result, everything=False)) if self._is_inline else ()

    async def export(self, result: Layers) -> None:
        """Push the caches. Raises as registries answer, unless that is to be ignored."""
        for target in self._targets:
            try:
                await self._export(target, self._chosen(result, everything=target.is_max))
            except ShoalError as error:
                if not target.ignores_errors:
                    raise
                _log.warning("the cache was not exported to %s: %s", target.reference or target.kind, error)

    async def _export(self, target: CacheSpec, chosen: Sequence[KeyedLayer]) -> None:
        if not chosen:
            return
        digest = await self._put(chosen)
        if target.kind == "registry":
            await self._registries().push(digest, [target.reference])
        else:
            archive = self._cache.registry.client().archive(digest, ())
            await send_pieces(self._connection, archive, lambda data: BuildOutput(cache_data=data))

    async def _put(self, chosen: Sequence[KeyedLayer]) -> str:
        """The image in the cluster's image repository, by digest."""
        config = cache_config(self._platform, _steps(chosen))
        layers = {each.layer.diff_id: each.layer for each in chosen}
        blobs = await asyncio.gather(*map(self._publisher.upload, layers.values()))
        documents = image_documents(config, blobs, oci=True)
        await self._cache.registry.client().put_documents(documents, keeps=False)
        return documents.digest

    def _chosen(self, result: Layers, *, everything: bool) -> Sequence[KeyedLayer]:
        """Sorted, so that the same cache is the same image."""
        used = sorted(self._cache.used.values(), key=lambda each: each.key)
        return [each for each in used if everything or each.layer.diff_id in result.diff_ids]


def _steps(chosen: Iterable[KeyedLayer]) -> Sequence[CachedStep]:
    return [CachedStep(each.key, each.layer.diff_id, each.layer.created_at_ms, each.description) for each in chosen]
