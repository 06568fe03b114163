"""The images' calls of a manager, on a registry that only remembers what it was to forget."""

import asyncio
import json
from collections.abc import Callable, Sequence

from manager.images.image_handler import REMOVAL_SECONDS, ImageHandler
from shoal.api.v1.engine_pb2 import (
    Filter,
    GetImageRequest,
    ImageView,
    ListImagesRequest,
    PruneImagesRequest,
    RemoveImageRequest,
    SetImageRequest,
)
from shoal.api.v1.meta_pb2 import Platform as PlatformMessage
from shoal.api.v1.standalone_pb2 import Image, ImageVariant
from shoal.distribution.digests import digest_of
from shoal.errors import ShoalError
from tests.unit.manager_api.control_rig import ADMIN, Api


class FakeContents:
    """The bytes of a registry: all that were not forgotten."""

    def __init__(self) -> None:
        self.forgotten: list[str] = []
        self.missing: set[str] = set()
        self.failure: ShoalError | None = None
        self.during_forget: Callable[[], object] = lambda: None
        self.goes_on: asyncio.Event | None = None
        """Deletions wait for it."""

    async def has(self, digest: str, parts: Sequence[str] = ()) -> bool:
        return self.missing.isdisjoint((digest, *parts))

    async def forget(self, digest: str) -> None:
        self.during_forget()
        if self.goes_on is not None:
            await self.goes_on.wait()
        if self.failure is not None:
            raise self.failure
        self.forgotten.append(digest)


def variant_of(
    text: str, *, labels: dict[str, str] | None = None, created: str = "2026-01-01T00:00:00Z"
) -> ImageVariant:
    """A variant that a text tells from others."""
    config = json.dumps(
        {
            "created": created,
            "config": {"Labels": labels or {}},
            "rootfs": {"type": "layers", "diff_ids": [digest_of(b"layer")]},
            "text": text,
        }
    ).encode()
    return ImageVariant(
        platform=PlatformMessage(os="linux", architecture="amd64"),
        digest=digest_of(b"manifest " + text.encode()),
        config_digest=digest_of(config),
        layers=[digest_of(b"layer")],
        layer_bytes=[5],
        config=config,
    )


def image_of(
    name: str, text: str, *, labels: dict[str, str] | None = None, created: str = "2026-01-01T00:00:00Z"
) -> Image:
    """An image."""
    variant = variant_of(text, labels=labels, created=created)
    return Image(name=f"docker.io/library/{name}" if name else "", digest=variant.digest, variants=[variant])


def index_of(name: str, *texts: str) -> Image:
    """An image of several platforms: those of `image_of` for each text."""
    platforms = [variant_of(text) for text in texts]
    return Image(name=f"docker.io/library/{name}", digest=digest_of(name.encode()), variants=platforms)


class Rig:
    """The images' calls of one manager."""

    def __init__(
        self, api: Api, contents: FakeContents | None = None, *, removal_seconds: float = REMOVAL_SECONDS
    ) -> None:
        self.now = 1_000_000
        self.contents = contents or FakeContents()
        self.handler = ImageHandler(
            store=api.store, contents=self.contents, now_ms=lambda: self.now, removal_seconds=removal_seconds
        )

    async def set(self, *arguments: str, **more: object) -> Image:
        return await self.handler.set(SetImageRequest(image=image_of(*arguments, **more)), ADMIN)  # type: ignore[arg-type]

    async def get(self, reference: str) -> ImageView:
        return await self.handler.get(GetImageRequest(image=reference), ADMIN)

    async def names(self, *filters: str) -> list[list[str]]:
        given = [Filter(key=key, value=value) for key, _, value in (each.partition("=") for each in filters)]
        found = await self.handler.list(ListImagesRequest(filters=given), ADMIN)
        return sorted(list(each.names) for each in found.images)

    async def remove(self, reference: str, *, force: bool = False) -> tuple[list[str], list[str]]:
        done = await self.handler.remove(RemoveImageRequest(image=reference, force=force), ADMIN)
        return list(done.untagged), list(done.deleted)

    async def prune(self, *filters: str, everything: bool = False) -> list[str]:
        given = [Filter(key=key, value=value) for key, _, value in (each.partition("=") for each in filters)]
        done = await self.handler.prune(PruneImagesRequest(all=everything, filters=given), ADMIN)
        return list(done.deleted)
