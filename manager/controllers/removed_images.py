"""Deletes the bytes of removed images whose deletion was not carried out: its manager ended, or the registry was away.

Run by the leader alone. Only what a removal has marked is deleted, never what a comparison of the registry with the
records finds: bytes of an image that is being pushed, pulled or built have no record yet either.
"""

import asyncio
import logging
from collections.abc import Mapping

from manager.images.image_deletion import ImageDeletion
from manager.images.image_locks import lock_key, pending_deletions
from manager.images.image_records import is_part
from manager.images.image_removal import resumption
from manager.images.image_repository_client import StoredImages
from manager.images.image_users import containers_by_digest, services_by_digest
from manager.interfaces import NowMs
from manager.store.changes import expect, put
from manager.store.kinds import NAME
from manager.store.record_store import RecordStore
from manager.store.tables import View
from shoal.api.v1.meta_pb2 import Name
from shoal.errors import Conflict, Timeout, Unavailable

PAUSE_SECONDS = 15.0
"""Between two runs; each goes through the names of all objects."""
MAX_PAUSE_SECONDS = 300.0
"""While a registry does not respond, or something still uses what is to be deleted, pauses double up to this."""

_log = logging.getLogger(__name__)


class RemovedImageCollector:
    """Repeats deletions, in the leader's term only.

    Args:
        contents: the cluster's image repository.
    """

    def __init__(self, *, store: RecordStore, contents: StoredImages, now_ms: NowMs) -> None:
        self._store = store
        self._deletion = ImageDeletion(store=store, contents=contents, now_ms=now_ms)
        self._now_ms = now_ms

    async def run(self, fence: int) -> None:
        """Until cancelled.

        Raises:
            LeadershipLost: the term is over.
        """
        pause = PAUSE_SECONDS
        while True:
            done = await self.collect(fence)
            pause = PAUSE_SECONDS if done else min(2 * pause, MAX_PAUSE_SECONDS)
            await asyncio.sleep(pause)

    async def collect(self, fence: int) -> bool:
        """Delete what can be deleted, up to the first failure, which others would share; whether nothing failed.

        Raises:
            LeadershipLost: the term is over.
        """
        if not self._deletion.has_repository:
            return True
        view = self._store.tables
        pending = pending_deletions(view, self._now_ms())
        unused = unused_images(view, pending)
        for digest, lock in unused.items():
            if not await self._delete(digest, lock, fence):
                return False
        return len(unused) == sum(not is_part(view, digest) for digest in pending)

    async def _delete(self, digest: str, lock: Name, fence: int) -> bool:
        """Only while its lock is as it was read: an image that was named meanwhile stays."""
        key, mark = lock_key(digest), resumption(lock, self._now_ms())
        try:
            unchanged = expect(NAME, key, lock.meta.version)
            version = await self._store.commit([put(NAME, key, mark)], expects=[unchanged], fence=fence)
        except Conflict:
            return True
        except (Unavailable, Timeout) as error:
            _log.info("the deletion of image %s is postponed: %s", digest, error)
            return False
        done = await self._deletion.delete(digest, mark, version, fence=fence)
        if done:
            _log.info("image %s, which was removed, is deleted in the cluster's image repository", digest)
        return done


def unused_images(view: View, pending: Mapping[str, Name]) -> dict[str, Name]:
    """Those of the removed images that are no platform of another image, and that no service or container uses."""
    found = {digest: lock for digest, lock in pending.items() if not is_part(view, digest)}
    if not found:
        return {}
    used = services_by_digest(view).keys() | containers_by_digest(view).keys()
    return {digest: lock for digest, lock in found.items() if digest not in used}
