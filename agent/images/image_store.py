"""Images on this host, as the worker sees them (`agent.worker.interfaces.Images`)."""

import asyncio
import logging
import math
import os
import time
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from agent.disk_full import usable_blocks
from agent.images.content_store import ContentStore
from agent.images.garbage_collection import GcCandidate, ImageGcPolicy, collectable, is_low_on_space
from agent.images.image_index import ImageIndex, LocalImage, pinned_digest
from agent.images.single_flight import SingleFlight
from agent.images.unpacker import Unpacker
from agent.worker.interfaces import Image, Report
from shoal.api.v1.dispatcher_pb2 import ImageReport
from shoal.distribution.manifests import Descriptor, Manifest, Platform, parse_manifest
from shoal.distribution.registries import Registries
from shoal.distribution.retry_policy import RetryPolicy
from shoal.errors import Refused, Unavailable
from shoal.fault_points.injection import fault
from shoal.notifier import Notifier
from shoal.threaded_call import in_thread

MAX_REPORTED = 10_000
"""Digests; managers take no more of a node."""

_log = logging.getLogger(__name__)


class PullSource(Protocol):
    """Where images come from."""

    @property
    def lacks_space(self) -> bool:
        """Whether a pull failed recently because of a full disk, and would fail again."""
        ...

    def pull(self, reference: str, report: Report) -> Awaitable[LocalImage]:
        """The image with its parts in place. Raises as `Images.ensure` does."""
        ...

    async def current_digest(self, reference: str) -> str:
        """What a tag names now."""
        ...

    def set_cluster_repository(self, name: str) -> None:
        """See `ImageStore.set_cluster_repository`."""
        ...

    async def aclose(self) -> None:
        """Close connections."""
        ...


class ImageStore:
    """Pulls images once, keeps them, removes them when the disk runs short. Belongs to one event loop.

    Args:
        directory: all its files; on a file system that overlayfs accepts as a lower layer. No other process may use it.
        platform: the platform for which images are chosen.
        fresh_seconds: a tag is not resolved again for this long, so that a burst of starts sends one request.
        reserve_bytes: what unpacking leaves free on the disk.
    Raises:
        Unavailable, Exhausted: the directory cannot be used.
    """

    def __init__(
        self,
        directory: Path,
        registries: Registries,
        platform: Platform,
        *,
        retry: RetryPolicy | None = None,
        gc_policy: ImageGcPolicy | None = None,
        fresh_seconds: float = 30.0,
        reserve_bytes: int = 256 << 20,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._registries = registries
        self._platform = platform
        self._retry = retry or RetryPolicy()
        self._gc_policy = gc_policy or ImageGcPolicy()
        self._fresh_seconds = fresh_seconds
        self._clock = clock
        self._reserve_bytes = reserve_bytes
        self._content = ContentStore(directory)
        self._content.open()
        self._unpacker = Unpacker(self._content, reserve_bytes=reserve_bytes)
        self._index = ImageIndex(self._content)
        self._index.load()
        self._changed = Notifier()
        self._cluster_repository = ""
        self._source: PullSource | None = None
        self._fresh_until: dict[str, float] = {}
        self._last_used: dict[str, float] = {each.image.digest: clock() for each in self._index.entries()}
        self._held: Counter[str] = Counter()
        self._pulls: SingleFlight[str, LocalImage] = SingleFlight()

    @property
    def lacks_space(self) -> bool:
        """See `Images.lacks_space`."""
        return self._source is not None and self._source.lacks_space

    async def ensure(self, reference: str, report: Report) -> Image:
        """See `Images.ensure`. A digest that is present costs no request; a tag is resolved again after a while, and
        the local image is used while the registry is unreachable."""
        entry = self._complete(self._fresh(reference))
        if entry is None:
            entry = await self._pulls.run(reference, report, lambda report_all: self._resolve(reference, report_all))
        self._last_used[entry.image.digest] = self._clock()
        return entry.image

    def set_cluster_repository(self, name: str) -> None:
        """The repository in which images with a digest are looked for first; empty for none. Its bytes are verified."""
        self._cluster_repository = name
        if self._source is not None:
            self._source.set_cluster_repository(name)

    async def reports(self) -> AsyncGenerator[ImageReport]:
        """Digests of the images here, of their manifests and of their indexes: now, then whenever they change."""
        reported: list[str] | None = None
        async for _ in self._changed.wakeups():
            digests = sorted({digest for each in self._index.entries() for digest in (each.image.digest, each.target)})
            if digests != reported:
                reported = digests
                yield ImageReport(digests=digests[:MAX_REPORTED])

    @property
    def temporary(self) -> Path:
        """A directory for files that do not outlive a crash, on the images' disk."""
        return self._content.temporary

    async def push_layer(
        self, image: str, repository: str, layer: Descriptor | None, path: Path
    ) -> tuple[bytes, bytes]:
        """Put a layer into a repository, with those of the image below it that are not there; returns the image's
        manifest and configuration, as they are.

        Args:
            image: digest of the manifest, or of its index.
            layer, path: None: there is no new one.
        Raises:
            Refused: the image is not here. Others as `layer_push.push_layer`.
        """
        entry = self._index.by_digest(image)
        manifest = self._content.read_blob(entry.image.digest) if entry is not None else None
        config = self._content.read_blob(entry.config_digest) if entry is not None else None
        if entry is None or manifest is None or config is None:
            raise Refused(f"image {image} is not complete on this node")
        parsed = parse_manifest(manifest)
        if not isinstance(parsed, Manifest):
            raise Refused(f"image {image} is an index")
        from agent.images.layer_push import push_layer  # with httpx: not at an agent's start

        source = entry.image.reference
        await push_layer(self._registries, self._retry, repository, layer, path, below=parsed, source=source)
        return manifest, config

    def documents(self, digest: str) -> tuple[bytes, bytes]:
        """The manifest and the configuration of an image here, as they are.

        Raises:
            Refused: it is not here any more.
        """
        entry = self._index.by_digest(digest)
        manifest = self._content.read_blob(entry.image.digest) if entry is not None else None
        config = self._content.read_blob(entry.config_digest) if entry is not None else None
        if manifest is None or config is None:
            raise Refused(f"image {digest} is not complete on this node")
        return manifest, config

    async def adopt_layers(self, layers: Mapping[str, Path]) -> None:
        """Put layers that were made on this host in place, by their diff IDs, durably; those that are there stay.

        Args:
            layers: directories on the images' disk that nothing writes to any more; they are moved.
        Raises:
            Unavailable, Exhausted: the disk fails.
        """
        await in_thread(lambda: self._content.adopt_layers(layers))

    def layer_directory(self, diff_id: str) -> Path | None:
        """Where an unpacked layer is; None if it is not here."""
        return self._content.layer(diff_id) if self._content.has_layer(diff_id) else None

    def hold_layers(self, diff_ids: Iterable[str]) -> None:
        """Keep layers however little disk space there is, until `release_layers`; as often as they are held."""
        self._held.update(diff_ids)

    def release_layers(self, diff_ids: Iterable[str]) -> None:
        """Undo one `hold_layers`."""
        self._held.subtract(diff_ids)
        self._held += Counter()  # drops what is at zero

    async def remove_layers(self, diff_ids: frozenset[str]) -> frozenset[str]:
        """Delete layers that no image needs and nothing holds; which ones. Raises Unavailable: the disk fails."""
        before = {each for each in diff_ids if self._content.has_layer(each)}
        await self._remove_layers(frozenset(before))
        return frozenset(each for each in before if not self._content.has_layer(each))

    def is_layer_held(self, diff_id: str) -> bool:
        """Whether `hold_layers` keeps a layer."""
        return self._held[diff_id] > 0

    def needs_layer(self, diff_id: str) -> bool:
        """Whether an image here has a layer, or something holds it."""
        return self._held[diff_id] > 0 or any(diff_id in each.diff_ids for each in self._index.entries())

    async def collect_garbage(self, used: frozenset[str]) -> None:
        """See `Images.collect_garbage`."""
        await asyncio.to_thread(self._content.delete_partials, time.time() - self._gc_policy.partial_seconds)
        while self._is_low_on_space():
            if not (candidates := self._collectable(used)):
                await self._remove_orphans()
                return
            # One at a time: while its layers are deleted, another image may be requested.
            await self._remove(candidates[0])

    async def aclose(self) -> None:
        """Close the connections to registries, and stop the unpack program."""
        if self._source is not None:
            await self._source.aclose()
            self._source = None
        await self._unpacker.aclose()

    def _fresh(self, reference: str) -> LocalImage | None:
        """An image that may be used without asking the registry."""
        entry = self._index.by_reference(reference)
        if entry is None or "@" in reference:
            return entry
        return entry if self._clock() < self._fresh_until.get(reference, -self._fresh_seconds) else None

    async def _resolve(self, reference: str, report: Report) -> LocalImage:
        digest = pinned_digest(reference)
        local = self._complete(self._index.by_digest(digest) if digest else self._index.by_reference(reference))
        if not digest and local is not None:
            local = await self._resolve_tag(reference, local)
        if local is None:
            self._unpacker.prepare()  # starts while the puller is loaded and sends its requests
            local = await self._pull_source().pull(reference, report)
        entry = replace(local, image=replace(local.image, reference=reference))
        self._last_used[entry.image.digest] = self._clock()
        if self._index.by_reference(reference) != entry:
            self._index.add(entry)
            self._changed.notify()
        self._fresh_until[reference] = self._clock() + self._fresh_seconds
        return entry

    async def _resolve_tag(self, reference: str, local: LocalImage) -> LocalImage | None:
        """The image that a tag names now, if it is present; the one it named before, if the registry cannot be
        asked."""
        try:
            current = await self._pull_source().current_digest(reference)
        except Unavailable as error:
            _log.warning("%s; using the local image %s of %s", error, local.target, reference)
            return local
        return local if current == local.target else self._complete(self._index.by_digest(current))

    def _complete(self, entry: LocalImage | None) -> LocalImage | None:
        """The image, unless a layer was deleted behind our back: then it is forgotten, and pulled again."""
        if entry is None or all(map(self._content.has_layer, entry.diff_ids)):
            return entry
        _log.warning(
            "image %s lacks a layer below %s; pulling it again", entry.image.reference, self._content.directory
        )
        self._index.remove(frozenset({entry.image.digest}))
        self._changed.notify()
        return None

    def _pull_source(self) -> PullSource:
        if self._source is None:
            from agent.images.pull import Puller  # httpx costs 86 ms: not at an agent's start

            self._source = Puller(
                self._content,
                self._registries,
                self._platform,
                unpacker=self._unpacker,
                policy=self._retry,
                reserve_bytes=self._reserve_bytes,
                clock=self._clock,
            )
            self._source.set_cluster_repository(self._cluster_repository)
        return self._source

    def _collectable(self, used: frozenset[str]) -> tuple[str, ...]:
        now = self._clock()
        candidates = [
            GcCandidate(each.image.digest, each.target, self._last_used.get(each.image.digest, now))
            for each in self._index.entries()
        ]
        return collectable(candidates, used, now, self._gc_policy)

    def _is_low_on_space(self) -> bool:
        if self.lacks_space:
            return True
        disk = os.statvfs(self._content.directory)
        return is_low_on_space(disk.f_bavail, usable_blocks(disk), self._gc_policy)

    async def _remove(self, digest: str) -> None:
        """Remove an image, then the layers that no other image uses."""
        layers = {diff_id for each in self._index.entries() if each.image.digest == digest for diff_id in each.diff_ids}
        self._index.remove(frozenset({digest}))
        fault("agent.collect.image-forgotten")
        self._changed.notify()
        self._last_used.pop(digest, None)
        _log.info("removing unused image %s: low disk space", digest)
        await self._remove_layers(frozenset(layers))

    async def _remove_orphans(self) -> None:
        """Remove layers, blobs and partial downloads of failed pulls, unless a pull is in progress."""
        if self._pulls.is_active:
            return
        self._content.delete_partials(math.inf)
        entries = self._index.entries()
        self._content.delete_blobs_except(
            frozenset(digest for each in entries for digest in (each.image.digest, each.config_digest))
        )
        await self._remove_layers(self._content.layers())

    async def _remove_layers(self, diff_ids: frozenset[str]) -> None:
        for diff_id in diff_ids:
            if not self.needs_layer(diff_id) and not self._pulls.is_active and self._content.has_layer(diff_id):
                removed = self._content.move_aside(self._content.layer(diff_id))
                fault("agent.collect.layer-aside")
                await asyncio.to_thread(self._content.remove, removed)
