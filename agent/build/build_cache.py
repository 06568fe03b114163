"""The node's cache of builds: layers of the image store by the keys of the vertices that made them."""

import logging
import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from agent.build.cache_records import (
    REGULAR,
    Blob,
    CacheRecord,
    PruneRule,
    encode_records,
    parse_records,
    parse_until,
    to_prune,
)
from agent.build.frames import NewLayer
from agent.images.threaded_call import in_thread
from shoal.api.v1.builds_pb2 import (
    BuildCacheRow,
    ListBuildCacheRequest,
    ListBuildCacheResponse,
    PruneBuildCacheRequest,
    PruneBuildCacheResponse,
)
from shoal.api.v1.engine_pb2 import Filter
from shoal.errors import Fault, InvalidInput

MAX_RECORDS = 10_000
_log = logging.getLogger(__name__)
_FILTERS = ("id", "type", "description", "until", "unused-for", "inuse", "shared", "private", "all")


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
        self._layers = layers
        self._now_ms = now_ms
        self._records: dict[str, CacheRecord] = {}
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
        """Remember what layers are in the cluster's image repository, by diff ID."""
        for key, record in self._records.items():
            if (blob := blobs.get(record.diff_id)) is not None and blob != record.blob:
                self._records[key] = replace(record, blob=blob)

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
        draft.replace(self._path)

    def list(self, request: ListBuildCacheRequest) -> ListBuildCacheResponse:
        """What there is. Raises InvalidInput: an unknown filter."""
        matches = self._matcher(request.filters)[1]
        return ListBuildCacheResponse(rows=[self._row(each) for each in self._present() if matches(each)])

    async def prune(self, request: PruneBuildCacheRequest) -> PruneBuildCacheResponse:
        """Delete what is not used. Raises InvalidInput: an unknown filter; Unavailable: the disk fails."""
        since, matches = self._matcher(request.filters)
        rule = PruneRule(request.all, since, request.keep_bytes, matches)
        present = self._present()
        in_use = self._is_held if request.all else self._is_needed
        chosen = to_prune(present, rule, in_use, self._now_ms())
        for each in chosen:
            self._records.pop(each.key, None)
        kept = {each.diff_id for each in self._records.values()}
        gone = await self._layers.remove_layers(frozenset(each.diff_id for each in chosen) - kept)
        await self.save()
        sizes = {each.diff_id: each.size for each in chosen}
        return PruneBuildCacheResponse(
            ids=[each.key for each in chosen], reclaimed_bytes=sum(sizes[diff_id] for diff_id in gone)
        )

    def _present(self) -> Sequence[CacheRecord]:
        return [each for each in self._records.values() if self._layers.layer_directory(each.diff_id) is not None]

    def _is_needed(self, record: CacheRecord) -> bool:
        return self._layers.needs_layer(record.diff_id)

    def _is_held(self, record: CacheRecord) -> bool:
        return self._layers.is_layer_held(record.diff_id)

    def _row(self, record: CacheRecord) -> BuildCacheRow:
        needed = self._is_needed(record)
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

    def _matcher(self, filters: Iterable[Filter]) -> tuple[int, Callable[[CacheRecord], bool]]:
        """The moment of `until`, and what the other filters say."""
        given: dict[str, list[str]] = {}
        for each in filters:
            given.setdefault(each.key, []).append(each.value)
        if unknown := given.keys() - set(_FILTERS):
            raise InvalidInput([Fault("filters", f'invalid filter "{name[:40]}"') for name in sorted(unknown)])
        moments = [*given.get("until", ()), *given.get("unused-for", ())]
        since = min((parse_until(each, self._now_ms()) for each in moments), default=0)
        return since, lambda record: self._matches(record, given)

    def _matches(self, record: CacheRecord, given: Mapping[str, Sequence[str]]) -> bool:
        needed = "true" if self._is_needed(record) else "false"
        values = {"type": REGULAR, "inuse": needed, "shared": needed}
        if any(each not in given[name] for name, each in values.items() if name in given):
            return False
        if "id" in given and not any(record.key.startswith(each) for each in given["id"] if each):
            return False
        return "description" not in given or any(each in record.description for each in given["description"])
