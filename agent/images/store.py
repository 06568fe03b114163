"""Images on this host, as the worker sees them (`agent.worker.seams.Images`)."""

import asyncio
import logging
import math
import os
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from agent.images.catalogue import Catalogue, Entry, pinned_digest
from agent.images.collection import Candidate, CollectPolicy, runs_short, unused
from agent.images.content import Content
from agent.images.sharing import SharedWork
from agent.images.unpack import Unpacker
from agent.worker.seams import Image, Report
from shoal.distribution.manifests import Platform
from shoal.distribution.registries import Registries
from shoal.distribution.retrying import RetryPolicy
from shoal.errors import Unavailable

_log = logging.getLogger(__name__)


class Source(Protocol):
    """Where images come from."""

    @property
    def lacks_room(self) -> bool:
        """Whether a pull ended of late for want of room on the disk, and would again."""
        ...

    def pull(self, reference: str, report: Report) -> Awaitable[Entry]:
        """The image with its parts in place. Raises as `Images.ensure` does."""
        ...

    async def current_digest(self, reference: str) -> str:
        """What a tag names now."""
        ...

    async def aclose(self) -> None:
        """Close connections."""
        ...


class ImageStore:
    """Pulls images once, keeps them, removes them when the disk runs short. Belongs to one event loop.

    Args:
        directory: all its files; on a file system that overlayfs takes as a lower one. No other process may use it.
        platform: that images are chosen for.
        fresh_seconds: a tag is not looked up again for this long, so that a burst of starts asks once.
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
        collect_policy: CollectPolicy | None = None,
        fresh_seconds: float = 30.0,
        reserve_bytes: int = 256 << 20,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._registries = registries
        self._platform = platform
        self._retry = retry or RetryPolicy()
        self._collect_policy = collect_policy or CollectPolicy()
        self._fresh_seconds = fresh_seconds
        self._clock = clock
        self._reserve_bytes = reserve_bytes
        self._content = Content(directory)
        self._content.open()
        self._unpacker = Unpacker(self._content, reserve_bytes=reserve_bytes)
        self._catalogue = Catalogue(self._content)
        self._catalogue.load()
        self._source: Source | None = None
        self._checked: dict[str, float] = {}
        self._used: dict[str, float] = {each.image.digest: clock() for each in self._catalogue.entries()}
        self._pulls: SharedWork[str, Entry] = SharedWork()

    @property
    def lacks_room(self) -> bool:
        """See `Images.lacks_room`."""
        return self._source is not None and self._source.lacks_room

    async def ensure(self, reference: str, report: Report) -> Image:
        """See `Images.ensure`. A digest that is here costs no request; a tag is looked up when that was long ago, and
        what is here is used while the registry is away."""
        entry = self._local(reference)
        if entry is None:
            entry = await self._pulls.run(reference, report, lambda tell: self._renew(reference, tell))
        self._used[entry.image.digest] = self._clock()
        return entry.image

    async def collect(self, used: frozenset[str]) -> None:
        """See `Images.collect`."""
        await asyncio.to_thread(self._content.forget_partials, time.time() - self._collect_policy.partial_seconds)
        while self._runs_short():
            if not (doomed := self._unused(used)):
                await self._remove_orphans()
                return
            # One at a time: while its layers are deleted, another may be asked for.
            await self._remove(doomed[0])

    async def aclose(self) -> None:
        """Close the connections to registries, and end the program that unpacks."""
        if self._source is not None:
            await self._source.aclose()
            self._source = None
        await self._unpacker.aclose()

    def _local(self, reference: str) -> Entry | None:
        """An image that may be used without a word to the registry."""
        entry = self._catalogue.named(reference)
        if entry is None or "@" in reference:
            return entry
        return entry if self._clock() < self._checked.get(reference, -self._fresh_seconds) else None

    async def _renew(self, reference: str, report: Report) -> Entry:
        digest = pinned_digest(reference)
        held = self._catalogue.with_digest(digest) if digest else self._catalogue.named(reference)
        if not digest and held is not None:
            held = await self._confirm(reference, held)
        if held is None:
            self._unpacker.prepare()  # starts while what pulls is loaded and asks
            held = await self._puller().pull(reference, report)
        entry = replace(held, image=replace(held.image, reference=reference))
        self._used[entry.image.digest] = self._clock()
        if self._catalogue.named(reference) != entry:
            self._catalogue.put(entry)
        self._checked[reference] = self._clock() + self._fresh_seconds
        return entry

    async def _confirm(self, reference: str, held: Entry) -> Entry | None:
        """What a tag names now, where that is here; what it named before, where nobody can tell."""
        try:
            current = await self._puller().current_digest(reference)
        except Unavailable as error:
            _log.warning("%s; using %s of %s, which is on this host", error, held.target, reference)
            return held
        return held if current == held.target else self._catalogue.with_digest(current)

    def _puller(self) -> Source:
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
        return self._source

    def _unused(self, used: frozenset[str]) -> tuple[str, ...]:
        now = self._clock()
        candidates = [
            Candidate(each.image.digest, each.target, self._used.get(each.image.digest, now))
            for each in self._catalogue.entries()
        ]
        return unused(candidates, used, now, self._collect_policy)

    def _runs_short(self) -> bool:
        if self.lacks_room:
            return True
        disk = os.statvfs(self._content.directory)
        return runs_short(disk.f_bavail, disk.f_blocks, self._collect_policy)

    async def _remove(self, digest: str) -> None:
        """Forget an image, then remove the layers that were its own."""
        doomed = {
            diff_id for each in self._catalogue.entries() if each.image.digest == digest for diff_id in each.diff_ids
        }
        self._catalogue.remove(frozenset({digest}))
        self._used.pop(digest, None)
        _log.info("removing image %s: the disk runs short and nothing uses it", digest)
        await self._remove_layers(frozenset(doomed))

    async def _remove_orphans(self) -> None:
        """Layers, blobs and downloads of pulls that failed half-way, unless one is under way."""
        if self._pulls.active:
            return
        self._content.forget_partials(math.inf)
        entries = self._catalogue.entries()
        self._content.forget_blobs(
            frozenset(digest for each in entries for digest in (each.image.digest, each.config_digest))
        )
        await self._remove_layers(self._content.layers())

    async def _remove_layers(self, doomed: frozenset[str]) -> None:
        for diff_id in doomed:
            needed = {each for entry in self._catalogue.entries() for each in entry.diff_ids}
            if diff_id not in needed and not self._pulls.active and self._content.has_layer(diff_id):
                doomed_path = self._content.condemn(self._content.layer(diff_id))
                await asyncio.to_thread(self._content.remove, doomed_path)
