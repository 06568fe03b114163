"""The lock of an image's digest, and the mark that a removal leaves in it until its bytes are deleted. Pure.

A lock is the name record `image/<digest>`. Its content, where an object's ID is in other records, is one of:

- the beginning of the digest: whoever names the image rewrites it; whoever removes its last name requires it as read;
- "removing <image ID>": bytes are being deleted at this moment, so nothing may be named; it runs out after REMOVING_MS;
- "pending <image ID>": bytes still have to be deleted. Naming the image replaces it, and they stay.

Both marks are written with the removal of the last name, and go only once the bytes are deleted or are not to be.
"""

from manager.store.tables import View
from shoal.api.v1.meta_pb2 import Meta, Name

LOCKS = "image/"
"""Identifiers of locks begin so."""

REMOVING_MS = 60_000
"""After that a manager has ended which was deleting: a deletion takes 20 s at most."""

_REMOVING, _PENDING = "removing", "pending"
_MARKS = frozenset({_REMOVING, _PENDING})


def lock_key(digest: str) -> str:
    """The identifier of a digest's lock."""
    return f"{LOCKS}{digest}"


def named_lock(digest: str, now_ms: int) -> Name:
    """The lock of an image that is named now."""
    return Name(meta=Meta(id=digest[7:20], updated_at_ms=now_ms))


def removing_lock(image_id: str, removed_at_ms: int, now_ms: int) -> Name:
    """The lock of an image whose bytes are deleted from now on."""
    return _marked(_REMOVING, image_id, removed_at_ms, now_ms)


def pending_lock(image_id: str, removed_at_ms: int, now_ms: int) -> Name:
    """The lock of an image whose bytes are to be deleted later.

    Args:
        removed_at_ms: when its last name was removed.
        now_ms: when that was attempted last.
    """
    return _marked(_PENDING, image_id, removed_at_ms, now_ms)


def removed_id(lock: Name) -> str:
    """The image ID of a removed image; empty where the lock is of one that is not."""
    mark, _, image_id = lock.meta.id.partition(" ")
    return image_id if mark in _MARKS else ""


def removed_at_ms(lock: Name) -> int:
    """When the last name was removed; the release before does not note it."""
    return lock.meta.created_at_ms or lock.meta.updated_at_ms


def is_exclusive(lock: Name, now_ms: int) -> bool:
    """Whether a manager is deleting the image's bytes, as far as can be known."""
    return lock.meta.id.startswith(f"{_REMOVING} ") and now_ms - lock.meta.updated_at_ms < REMOVING_MS


def pending_deletions(view: View, now_ms: int) -> dict[str, Name]:
    """Locks by digest of images whose bytes are to be deleted and nobody is deleting; the newest attempt comes last."""
    found = {
        key.removeprefix(LOCKS): lock
        for key, lock in view.names.items()
        if key.startswith(LOCKS) and removed_id(lock) and not is_exclusive(lock, now_ms)
    }
    return dict(sorted(found.items(), key=lambda each: each[1].meta.updated_at_ms))


def _marked(mark: str, image_id: str, removed_at_ms: int, now_ms: int) -> Name:
    return Name(meta=Meta(id=f"{mark} {image_id}", created_at_ms=removed_at_ms, updated_at_ms=now_ms))
