"""Images' records: list, inspect, history, tag, remove, prune, and what registries say of one."""

import time
from http import HTTPStatus

from aiohttp import web

from engine.cluster.image_pool import ImagePool, parse_image, pull_error
from engine.protocol.errors import ApiError, conflict, not_implemented
from engine.protocol.parameters import Filters, check_keys
from engine.protocol.registry_auth import parse_auth_header
from engine.protocol.versions import NO_IMAGE_FILTER_PARAMETER
from engine.server.call import Call
from engine.server.routes import Route
from engine.translate.images.images import (
    distribution_document,
    history_document,
    image_row,
    inspect_document,
    platform_document,
    removed_document,
    shared_sizes,
)
from engine.translate.prune_filters import prune_filters
from shoal.api.v1.engine_pb2 import Filter, ListImagesRequest, PruneImagesRequest, RemoveImageRequest
from shoal.api.v1.standalone_pb2 import Image
from shoal.distribution.image_config import parse_config
from shoal.distribution.manifests import Platform
from shoal.distribution.registry_client import Distribution, Repository
from shoal.errors import Refused, ShoalError
from shoal.images.image_contents import ImageContents, read_contents
from shoal.images.repository_name import record_name
from shoal.manager_calls.managers import Managers

FILTERS = ("before", "dangling", "label", "reference", "since", "until")
AUTH_HEADER = "X-Registry-Auth"


class ImageHandlers:
    """The operations on records of images."""

    def __init__(self, managers: Managers, pool: ImagePool) -> None:
        self._managers = managers
        self._pool = pool

    def routes(self) -> list[Route]:
        return [
            Route(
                "GET",
                "/images/json",
                self.list,
                "ImageList",
                remark="one image a name: `manifests` is not answered, as without containerd's image store",
            ),
            Route(
                "GET",
                "/images/search",
                self.search,
                "ImageSearch",
                remark="501: only Docker Hub's own API can be searched, registries have none",
            ),
            Route("POST", "/images/prune", self.prune, "ImagePrune"),
            Route(
                "GET",
                "/images/{name:.*}/json",
                self.inspect,
                "ImageInspect",
                remark="of one platform: `manifests` is not answered, as without containerd's image store",
            ),
            Route("GET", "/images/{name:.*}/history", self.history, "ImageHistory"),
            Route("POST", "/images/{name:.*}/tag", self.tag, "ImageTag"),
            Route(
                "DELETE",
                "/images/{name:.*}",
                self.remove,
                "ImageDelete",
                remark="all platforms of a name; there are no parents, so `noprune` says nothing",
            ),
            Route("GET", "/distribution/{name:.*}/json", self.distribution, "DistributionInspect"),
        ]

    async def list(self, call: Call) -> web.StreamResponse:
        filters = dict(call.filters())
        check_keys(filters, FILTERS)
        if call.version < NO_IMAGE_FILTER_PARAMETER and (name := call.text("filter")):
            filters["reference"] = [*filters.get("reference", ()), name]
        request = ListImagesRequest(filters=_filters(filters))
        listed = await self._managers.call(self._managers.images.ListImages, request)
        shared = await self._shared_sizes() if call.boolean("shared-size") else None
        return call.json(
            [image_row(each, call.version, shared=shared) for each in listed.images if each.image.variants]
        )

    async def _shared_sizes(self) -> dict[str, int]:
        """Of all images: a filter leaves none of them out as one that shares."""
        return shared_sizes((await self._managers.call(self._managers.images.ListImages, ListImagesRequest())).images)

    async def inspect(self, call: Call) -> web.StreamResponse:
        return call.json(inspect_document(await self._pool.find(call.parameters["name"]), call.version))

    async def history(self, call: Call) -> web.StreamResponse:
        return call.json(history_document(await self._pool.find(call.parameters["name"])))

    async def tag(self, call: Call) -> web.StreamResponse:
        """One more name for an image."""
        view = await self._pool.find(call.parameters["name"])
        reference = parse_image(call.text("repo"), call.text("tag"))
        image = Image(
            name=record_name(reference),
            digest=view.image.digest,
            variants=view.image.variants,
            source=view.image.source,
            parent=view.image.parent,
        )
        await self._pool.set(image)
        return call.empty(HTTPStatus.CREATED)

    async def remove(self, call: Call) -> web.StreamResponse:
        """A name; with the last one the image, unless something uses it."""
        name = call.parameters["name"]
        await self._pool.find(name)
        request = RemoveImageRequest(image=name, force=call.boolean("force"))
        try:
            removed = await self._managers.call(self._managers.images.RemoveImage, request)
        except Refused as error:
            raise conflict(str(error)) from error
        return call.json(removed_document(removed))

    async def prune(self, call: Call) -> web.StreamResponse:
        """Images without a name; with `dangling=false` all that nothing uses."""
        now_ms = time.time_ns() // 1_000_000
        filters = prune_filters(call.filters(), ("dangling", "label", "label!", "until"), now_ms=now_ms)
        if "until" in filters:
            filters["until"] = [f"{int(each) / 1000:.3f}" for each in filters["until"]]
        removed = await self._managers.call(
            self._managers.images.PruneImages, PruneImagesRequest(filters=_filters(filters))
        )
        return call.json(
            {"ImagesDeleted": removed_document(removed) or None, "SpaceReclaimed": removed.reclaimed_bytes}
        )

    async def distribution(self, call: Call) -> web.StreamResponse:
        """What a name means: in the cluster first, as for whatever runs it; else what its registry says."""
        name = call.parameters["name"]
        reference = parse_image(name)
        try:
            return call.json(distribution_document(await self._pool.find(name)))
        except ApiError as error:
            if error.status != HTTPStatus.NOT_FOUND:
                raise
        registries = self._pool.registries(reference, parse_auth_header(call.header(AUTH_HEADER)))
        try:
            async with Distribution(registries) as distribution:
                repository = distribution.repository(reference)
                contents = await read_contents(repository, reference.target)
                platforms = await _platforms(repository, contents)
        except ShoalError as error:
            raise pull_error(error, reference) from error
        top = contents.top
        return call.json(
            {
                "Descriptor": {"mediaType": top.media_type, "digest": top.digest, "size": len(top.content)},
                "Platforms": [platform_document(each.os, each.architecture, each.variant) for each in platforms],
            }
        )

    async def search(self, _: Call) -> web.StreamResponse:
        """
        Raises:
            ApiError: 501.
        """
        raise not_implemented(
            "images cannot be searched: registries have no search, only Docker Hub has an API of its own, "
            "which this engine does not ask; use its web site"
        )


async def _platforms(repository: Repository, contents: ImageContents) -> list[Platform]:
    """What an image is for: as its index says, or the configuration where there is no index."""
    listed = [each.platform for each in contents.manifests if each.is_image and each.platform is not None]
    if listed:
        return listed
    return [
        parse_config(await repository.blob(each.manifest.config)).platform
        for each in contents.manifests
        if each.platform is None
    ]


def _filters(filters: Filters) -> list[Filter]:
    return [Filter(key=key, value=value) for key, values in filters.items() for value in values]
