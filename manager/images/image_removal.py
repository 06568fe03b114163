"""Writes of namings and removals of images, and the lock between them. Pure.

Whoever names a digest rewrites its lock; whoever removes the last name requires the lock as it was read, and marks it.
So nothing is named whose bytes are being deleted, whichever managers do so at the same time.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from manager.images.image_records import FoundImage, key_of, lock_key, record_key, records_of
from manager.store.changes import Expect, Write, delete, expect, put
from manager.store.kinds import IMAGE, NAME
from manager.store.record_store import RecordReader, RecordStore
from shoal.api.v1.meta_pb2 import Meta, Name
from shoal.api.v1.standalone_pb2 import Image
from shoal.errors import Conflict

REMOVING = "removing"
"""Content of a lock while the bytes of an image are being deleted; its image ID follows."""

REMOVING_MS = 60_000
"""A mark that is older was left by a manager that ended: deleting takes 20 s at most."""


@dataclass(frozen=True)
class Removal:
    """What a removal writes.

    Attributes:
        names: that go.
        is_last: whether the image goes with them.
        image_ids: digests of its configurations.
    """

    names: tuple[str, ...]
    is_last: bool
    image_ids: tuple[str, ...]
    writes: tuple[Write, ...]
    expects: tuple[Expect, ...]


def naming(store: RecordStore, image: Image, now_ms: int) -> tuple[Image, list[Write], list[Expect]]:
    """The record of a name, and what naming an image writes.

    The image that had the name before keeps a record without a name where it has no other; one that gets a name loses
    that record. One that is to have no name, but has one, keeps it.

    Raises:
        Conflict: the image is being removed.
    """
    view = store.tables
    named = [each for each in records_of(view, image.digest) if each.name]
    if not image.name and named:
        write, condition = _lock(store, image.digest, now_ms)
        return named[0], [write], [condition, *_unchanged(store, named[:1])]
    record, key = Image(), record_key(image)
    record.CopyFrom(image)
    before = view.images.get(key)
    created = before.meta.created_at_ms if before is not None else now_ms
    record.meta.CopyFrom(Meta(id=key[:13], created_at_ms=created, updated_at_ms=now_ms))
    writes, expects = [put(IMAGE, key, record)], [expect(IMAGE, key, store.version_of(IMAGE, key))]
    locks = [image.digest]
    if before is not None and before.digest != image.digest:
        locks.append(before.digest)
        if len(records_of(view, before.digest)) == 1:
            writes.append(put(IMAGE, key_of(before.digest), _unnamed(before)))
    if image.name and key_of(image.digest) in view.images:
        writes.append(delete(IMAGE, key_of(image.digest)))
    for digest in locks:
        write, condition = _lock(store, digest, now_ms)
        writes.append(write)
        expects.append(condition)
    return record, writes, expects


def untagging(store: RecordStore, found: FoundImage, now_ms: int) -> Removal:
    """What taking names from an image writes, which stays without one: a container uses it."""
    done = removal(store, found, now_ms)
    if not done.is_last:
        return done
    key = key_of(found.digest)
    write, condition = _lock(store, found.digest, now_ms)
    writes = [each for each in done.writes if each.kind is IMAGE and each.identifier != key]
    kept = put(IMAGE, key, _unnamed(found.records[0]))
    return Removal(done.names, False, (), (*writes, kept, write), (*done.expects[:-1], condition))


def removal(store: RecordStore, found: FoundImage, now_ms: int) -> Removal:
    """What removing a name, or an image with all of its names, writes."""
    going = [each for each in found.records if not found.name or each.name == found.name]
    is_last = len(going) == len(found.records)
    lock = lock_key(found.digest)
    image_ids = tuple(dict.fromkeys(one.config_digest for each in going for one in each.variants))
    image_id = next(iter(image_ids), found.digest)
    mark = Name(meta=Meta(id=f"{REMOVING} {image_id}" if is_last else found.digest[7:20], updated_at_ms=now_ms))
    return Removal(
        names=tuple(sorted(each.name for each in going if each.name)),
        is_last=is_last,
        image_ids=image_ids,
        writes=(*(delete(IMAGE, record_key(each)) for each in going), put(NAME, lock, mark)),
        expects=(*_unchanged(store, going), expect(NAME, lock, store.version_of(NAME, lock))),
    )


def removed_id(lock: Name) -> str:
    """The image ID in the mark of a removal; empty where a lock has none."""
    mark, _, image_id = lock.meta.id.partition(" ")
    return image_id if mark == REMOVING else ""


def _lock(store: RecordReader, digest: str, now_ms: int) -> tuple[Write, Expect]:
    key = lock_key(digest)
    known = store.tables.names.get(key)
    if known is not None and removed_id(known) and now_ms - known.meta.updated_at_ms < REMOVING_MS:
        raise Conflict(f"image {digest} is being removed; try again in a moment")
    version = known.meta.version if known is not None else 0
    return put(NAME, key, Name(meta=Meta(id=digest[7:20], updated_at_ms=now_ms))), expect(NAME, key, version)


def _unchanged(store: RecordStore, records: Sequence[Image]) -> list[Expect]:
    keys = map(record_key, records)
    return [expect(IMAGE, key, store.version_of(IMAGE, key)) for key in keys]


def _unnamed(image: Image) -> Image:
    record = Image()
    record.CopyFrom(image)
    record.name = ""
    return record
