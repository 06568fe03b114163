"""Writes of namings and removals of images, and the lock between them. Pure.

Whoever names a digest rewrites its lock; whoever removes the last name requires the lock as it was read, and marks it.
So nothing is named whose bytes are being deleted, whichever managers do so at the same time. The mark stays until the
bytes are deleted: should the manager end before, the leader deletes them.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from manager.images.image_locks import (
    is_exclusive,
    lock_key,
    named_lock,
    pending_lock,
    removed_at_ms,
    removed_id,
    removing_lock,
)
from manager.images.image_records import FoundImage, is_part, key_of, record_key, records_of
from manager.store.changes import Expect, Write, delete, expect, put
from manager.store.kinds import IMAGE, NAME
from manager.store.record_store import RecordReader, RecordStore
from shoal.api.v1.meta_pb2 import Meta, Name
from shoal.api.v1.standalone_pb2 import Image
from shoal.errors import Conflict, Refused, ShoalError

KEPT_MS = 7 * 24 * 3600 * 1000
"""For so long deletions that fail are repeated: a registry whose administrator never lets us delete costs no more."""


@dataclass(frozen=True)
class Removal:
    """What a removal writes.

    Attributes:
        names: that go.
        is_last: whether the image goes with them.
        mark: what its lock is then, where its bytes are to be deleted at once. None: they stay, or go later.
        image_ids: digests of its configurations.
    """

    names: tuple[str, ...]
    is_last: bool
    mark: Name | None
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
    taken = [_lock(store, digest, now_ms) for digest in locks]
    taken += [_lock_of_part(store, digest, now_ms) for digest in named_parts(store, image) if digest not in locks]
    return record, [*writes, *(each for each, _ in taken)], [*expects, *(each for _, each in taken)]


def parts_of(image: Image) -> tuple[str, ...]:
    """Digests of the manifests to which an image's index refers; none, where the image is of one platform."""
    return tuple(dict.fromkeys(each.digest for each in image.variants if each.digest != image.digest))


def named_parts(store: RecordReader, image: Image) -> list[str]:
    """Those of its parts that are, or were, images of their own."""
    return [each for each in parts_of(image) if lock_key(each) in store.tables.names]


def untagging(store: RecordStore, found: FoundImage, now_ms: int) -> Removal:
    """What taking names from an image writes, which stays without one: a container uses it."""
    done = removal(store, found, now_ms)
    if not done.is_last:
        return done
    key = key_of(found.digest)
    write, condition = _lock(store, found.digest, now_ms)
    writes = [each for each in done.writes if each.kind is IMAGE and each.identifier != key]
    kept = put(IMAGE, key, _unnamed(found.records[0]))
    return Removal(done.names, False, None, (), (*writes, kept, write), (*done.expects[:-1], condition))


def removal(store: RecordStore, found: FoundImage, now_ms: int) -> Removal:
    """What removing a name, or an image with all of its names, writes.

    The bytes of a platform's manifest to which another image refers wait until that one is removed too.
    """
    going = [each for each in found.records if not found.name or each.name == found.name]
    is_last = len(going) == len(found.records)
    lock = lock_key(found.digest)
    image_ids = tuple(dict.fromkeys(one.config_digest for each in going for one in each.variants))
    image_id = next(iter(image_ids), found.digest)
    waits = is_last and is_part(store.tables, found.digest)
    content = named_lock(found.digest, now_ms)
    if is_last:
        content = (pending_lock if waits else removing_lock)(image_id, now_ms, now_ms)
    return Removal(
        names=tuple(sorted(each.name for each in going if each.name)),
        is_last=is_last,
        mark=content if is_last and not waits else None,
        image_ids=image_ids,
        writes=(*(delete(IMAGE, record_key(each)) for each in going), put(NAME, lock, content)),
        expects=(*_unchanged(store, going), expect(NAME, lock, store.version_of(NAME, lock))),
    )


def resumption(lock: Name, now_ms: int) -> Name:
    """What the lock of a removed image is while its deletion is attempted again."""
    return removing_lock(removed_id(lock), removed_at_ms(lock), now_ms)


def settlement(digest: str, mark: Name, error: ShoalError | None, *, has_repository: bool, now_ms: int) -> Write:
    """What is written once an attempt to delete an image's bytes has ended.

    Without an error the lock goes. Else it says that they are still to be deleted, unless their registry does not
    delete at all, or KEPT_MS have passed.

    Args:
        mark: of the attempt.
        has_repository: whether the cluster has an image repository, so that a refusal is the registry's.
    """
    refused = isinstance(error, Refused) and has_repository
    if error is None or refused or now_ms - removed_at_ms(mark) >= KEPT_MS:
        return delete(NAME, lock_key(digest))
    return put(NAME, lock_key(digest), pending_lock(removed_id(mark), removed_at_ms(mark), now_ms))


def _lock(store: RecordReader, digest: str, now_ms: int) -> tuple[Write, Expect]:
    key = lock_key(digest)
    known = store.tables.names.get(key)
    if known is not None and is_exclusive(known, now_ms):
        raise Conflict(f"image {digest} is being removed; try again in a moment")
    version = known.meta.version if known is not None else 0
    return put(NAME, key, named_lock(digest, now_ms)), expect(NAME, key, version)


def _lock_of_part(store: RecordReader, digest: str, now_ms: int) -> tuple[Write, Expect]:
    """Rewrites a lock as it is, so that a removal which does not know yet of the image above fails, and knows then."""
    _, condition = _lock(store, digest, now_ms)
    same = Name()
    same.CopyFrom(store.tables.names[lock_key(digest)])
    return put(NAME, lock_key(digest), same), condition


def _unchanged(store: RecordStore, records: Sequence[Image]) -> list[Expect]:
    keys = map(record_key, records)
    return [expect(IMAGE, key, store.version_of(IMAGE, key)) for key in keys]


def _unnamed(image: Image) -> Image:
    record = Image()
    record.CopyFrom(image)
    record.name = ""
    return record
