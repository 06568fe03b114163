"""The node's cache of builds: layers of the image store by the keys of the vertices that made them."""

import logging
import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Protocol

from agent.build.cache_mounts import CacheDirectory, list_caches, remove_cache
from agent.build.cache_records import (
    CACHE_MOUNT,
    LOCAL_SOURCE,
    REGULAR,
    Blob,
    CacheFilters,
    CacheRecord,
    PruneRule,
    encode_records,
    parse_records,
    to_prune,
)
from agent.build.frames import NewLayer
from agent.build.kept_contexts import ContextRow, list_contexts, remove_context
from shoal.api.v1.builds_pb2 import (
    BuildCacheRow,
    ListBuildCacheRequest,
    ListBuildCacheResponse,
    PruneBuildCacheRequest,
    PruneBuildCacheResponse,
)
from shoal.fault_points.injection import fault
from shoal.threaded_call import in_thread

MAX_RECORDS = 10_000
_log = logging.getLogger(__name__)


class LayerStore(Protocol):
    """`agent.images.image_store.ImageStore` is one."""

    def layer_directory(self, diff_id: str) -> Path | None:
        """As `ImageStore.layer_directory`."""
        ...

    def needs_layer(self, diff_id: str) -> bool:
        """As `ImageStore.needs_layer`."""
        ...

    def is_layer_held(self, diff_id: str) -> bool:
        """As `ImageStore.is_layer_held`."""
        ...

    async def remove_layers(self, diff_ids: frozenset[str]) -> frozenset[str]:
        """As `ImageStore.remove_layers`."""
        ...


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


class BuildCache:
    """Finds layers by key. For one event loop.

    A record whose layer is gone, because the disk ran short, is none.

    Args:
        path: of its file; what is in it is only lost time.
    """

    def __init__(self, path: Path, layers: LayerStore, *, now_ms: Callable[[], int] = _now_ms) -> None:
        self._path = path
        self.mounts = path.absolute().with_name("mounts")
        self.contexts = path.absolute().with_name("contexts")
        self._layers = layers
        self._now_ms = now_ms
        self._records: dict[str, CacheRecord] = {}
        self._uploaded: dict[str, Blob] = {}
        with suppress(FileNotFoundError):
            try:
                self._records = {each.key: each for each in parse_records(path.read_bytes())}
            except (ValueError, KeyError, TypeError) as error:
                _log.warning("%s is damaged (%r); builds begin without a cache", path, error)

    def find(self, key: str) -> CacheRecord | None:
        """A record whose layer is here."""
        record = self._records.get(key)
        if record is None:
            return None
        if self._layers.layer_directory(record.diff_id) is None:
            del self._records[key]
            return None
        self._records[key] = used = record.used(self._now_ms())
        return used

    def add(self, layers: Iterable[NewLayer]) -> None:
        """Remember layers that are in the image store by now; those without a key are not found again."""
        now = self._now_ms()
        for each in layers:
            if each.key:
                self._records[each.key] = CacheRecord(
                    each.key, each.diff_id, each.description, each.size, each.created_at_ms, now
                )

    def set_blobs(self, blobs: Mapping[str, Blob]) -> None:
        """Remember what layers are in the cache of the cluster's image repository, by diff ID."""
        for diff_id in blobs:
            self._uploaded.pop(diff_id, None)
        for key, record in self._records.items():
            if (blob := blobs.get(record.diff_id)) is not None and blob != record.blob:
                self._records[key] = replace(record, blob=blob)

    def set_uploaded(self, blobs: Mapping[str, Blob]) -> None:
        """Remember what layers are in the repository, but not in its cache yet: their build may be killed before."""
        self._uploaded |= blobs
        while len(self._uploaded) > MAX_RECORDS:
            del self._uploaded[next(iter(self._uploaded))]

    def uploaded(self, diff_id: str) -> Blob | None:
        """What `set_uploaded` was told of a layer."""
        return self._uploaded.get(diff_id)

    async def save(self) -> None:
        """Write the file; an error is logged."""
        newest = sorted(self._records.values(), key=lambda each: each.used_at_ms)[-MAX_RECORDS:]
        self._records = {each.key: each for each in newest}
        content = encode_records(newest)
        try:
            await in_thread(lambda: self._write(content))
        except OSError as error:
            _log.warning("%s: %s", self._path, error.strerror)

    def _write(self, content: bytes) -> None:
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        draft = self._path.with_name(f"{self._path.name}.new")
        with draft.open("wb") as file:
            file.write(content)
            file.flush()
            os.fdatasync(file.fileno())
        fault("agent.build.cache-drafted")
        draft.replace(self._path)

    async def list(self, request: ListBuildCacheRequest) -> ListBuildCacheResponse:
        """What there is. Raises InvalidInput: an unknown filter."""
        filters = CacheFilters(request.filters, self._now_ms())
        mounts, contexts = await self._directories()
        rows = [*map(self._row, self._present()), *map(_mount_row, mounts), *map(_context_row, contexts)]
        return ListBuildCacheResponse(rows=filter(filters.matches, rows))

    async def prune(self, request: PruneBuildCacheRequest) -> PruneBuildCacheResponse:
        """Delete what is not used. Raises InvalidInput: an unknown filter; Unavailable: the disk fails."""
        filters = CacheFilters(request.filters, self._now_ms())
        mounts, contexts = await self._directories()
        records = {each.key: each for each in self._present()}
        rows = [*map(self._row, records.values()), *map(_mount_row, mounts), *map(_context_row, contexts)]
        rule = PruneRule(request.all, filters.used_before_ms, request.keep_bytes, filters.matches)
        chosen = [each.id for each in to_prune(rows, rule, lambda row: self._stays(row, request.all), self._now_ms())]
        layers = [records[key] for key in chosen if key in records]
        reclaimed = await self._remove_layers(layers)
        for each in mounts:
            if each.name in chosen and await in_thread(partial(remove_cache, self.mounts, each.name)):
                reclaimed += each.size
        for context in contexts:
            if context.id in chosen and await in_thread(partial(remove_context, self.contexts, context.id)):
                reclaimed += context.size
        await self.save()
        return PruneBuildCacheResponse(ids=chosen, reclaimed_bytes=reclaimed)

    async def _directories(self) -> tuple[Sequence[CacheDirectory], Sequence[ContextRow]]:
        return await in_thread(lambda: (list_caches(self.mounts), list_contexts(self.contexts)))

    async def _remove_layers(self, chosen: Sequence[CacheRecord]) -> int:
        """Bytes of layers that are gone: what images have stays, and is not found again."""
        for each in chosen:
            self._records.pop(each.key, None)
        kept = {each.diff_id for each in self._records.values()}
        gone = await self._layers.remove_layers(frozenset(each.diff_id for each in chosen) - kept)
        sizes = {each.diff_id: each.size for each in chosen}
        return sum(sizes[diff_id] for diff_id in gone)

    def _stays(self, row: BuildCacheRow, everything: bool) -> bool:
        """What is used now; unless everything goes, also what images have."""
        record = self._records.get(row.id)
        if record is None or not everything:
            return row.in_use
        return self._layers.is_layer_held(record.diff_id)

    def _present(self) -> Sequence[CacheRecord]:
        return [each for each in self._records.values() if self._layers.layer_directory(each.diff_id) is not None]

    def _row(self, record: CacheRecord) -> BuildCacheRow:
        needed = self._layers.needs_layer(record.diff_id)
        return BuildCacheRow(
            id=record.key,
            type=REGULAR,
            description=record.description,
            bytes=record.size,
            created_at_ms=record.created_at_ms,
            used_at_ms=record.used_at_ms,
            use_count=record.use_count,
            in_use=needed,
            shared=needed,
        )


def _context_row(context: ContextRow) -> BuildCacheRow:
    return BuildCacheRow(
        id=context.id,
        type=LOCAL_SOURCE,
        description=f"local source for {context.name or 'context'}",
        bytes=context.size,
        created_at_ms=context.used_at_ms,
        used_at_ms=context.used_at_ms,
        in_use=context.in_use,
    )


def _mount_row(mount: CacheDirectory) -> BuildCacheRow:
    return BuildCacheRow(
        id=mount.name,
        type=CACHE_MOUNT,
        description=f"cached mount {mount.cache_id}",
        bytes=mount.size,
        created_at_ms=mount.created_at_ms,
        used_at_ms=mount.used_at_ms,
        in_use=mount.in_use,
    )
