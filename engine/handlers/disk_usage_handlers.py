"""`system/df`: what images, containers, volumes and builds take."""

import asyncio
import time
from collections import Counter
from collections.abc import Mapping

from aiohttp import web

from engine.cluster.container_lookup import ContainerLookup
from engine.handlers.volume_handlers import VolumeHandlers, size_of
from engine.protocol.versions import BUILD_CACHE_LISTED
from engine.server.call import Call
from engine.server.routes import Route
from engine.translate.containers.container_list import list_row
from engine.translate.images.build_cache import cache_documents
from engine.translate.images.images import image_row, layers_size, shared_sizes
from engine.translate.volumes import volume_document
from shoal.api.v1.builds_pb2 import ListBuildCacheRequest
from shoal.api.v1.control_pb2 import ListVolumesRequest
from shoal.api.v1.engine_pb2 import ImageView, ListContainersRequest, ListImagesRequest
from shoal.manager_calls.managers import SIZE_SECONDS, Managers

KINDS = ("container", "image", "volume", "build-cache")


class DiskUsageHandlers:
    """The operation on disk usage."""

    def __init__(self, managers: Managers, lookup: ContainerLookup, volumes: VolumeHandlers) -> None:
        self._managers = managers
        self._lookup = lookup
        self._volumes = volumes

    def routes(self) -> list[Route]:
        return [Route("GET", "/system/df", self.usage, "SystemDataUsage")]

    async def usage(self, call: Call) -> web.StreamResponse:
        """All kinds, or those of `type`."""
        managers = self._managers
        desired = ListContainersRequest(all=True, include_tasks=True, include_sizes=True)
        builds = managers.builds.ListBuildCache
        images, containers, volumes, cache = await asyncio.gather(
            managers.call(managers.images.ListImages, ListImagesRequest()),
            managers.call(managers.containers.ListContainers, desired, seconds=SIZE_SECONDS),
            managers.call(managers.control.ListVolumes, ListVolumesRequest(include_sizes=True), seconds=SIZE_SECONDS),
            managers.call(builds, ListBuildCacheRequest(), seconds=SIZE_SECONDS),
        )
        around = await self._lookup.around(containers.containers)
        now_ms, users = time.time_ns() // 1_000_000, await self._volumes.users(volumes.volumes)
        kinds = call.texts("type") or KINDS
        rows = [list_row(each, call.version, around, now_ms=now_ms, sizes=True) for each in containers.containers]
        users_of_images = Counter(row["ImageID"] for row in rows)
        shared = shared_sizes(images.images)
        documents: dict[str, object] = {
            "LayersSize": layers_size(images.images),
            "Images": [_image(each, call, users_of_images, shared) for each in images.images if each.image.variants],
            "Containers": rows,
            "Volumes": [
                volume_document(each, usage=(size_of(each), users[each.volume.spec.name])) for each in volumes.volumes
            ],
            "BuildCache": cache_documents(cache.rows),
        }
        if call.version < BUILD_CACHE_LISTED:
            documents["BuilderSize"] = sum(row.bytes for row in cache.rows)
        left_out = {
            "container": ("Containers",),
            "image": ("Images", "LayersSize"),
            "volume": ("Volumes",),
            "build-cache": ("BuildCache",),
        }
        for kind, keys in left_out.items():
            if kind not in kinds:
                for key in keys:
                    documents[key] = 0 if key == "LayersSize" else None
        return call.json(documents)


def _image(view: ImageView, call: Call, users: Mapping[str, int], shared: Mapping[str, int]) -> dict[str, object]:
    """
    Args:
        users: how many containers each image has, tasks of services included.
        shared: as `shared_sizes` has them.
    """
    row = image_row(view, call.version, shared=shared)
    row["Containers"] = users.get(row["Id"], 0)
    for key in ("RepoTags", "RepoDigests"):
        row[key] = row[key] or None
    return row
