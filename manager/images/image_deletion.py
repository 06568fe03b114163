"""Deletes the bytes of removed images in the cluster's image repository, and settles their marks."""

import logging

from manager.images.image_locks import lock_key
from manager.images.image_removal import settlement
from manager.images.image_repository_client import StoredImages
from manager.interfaces import NowMs
from manager.store.changes import expect
from manager.store.kinds import NAME
from manager.store.record_store import RecordStore
from shoal.api.v1.meta_pb2 import Name
from shoal.errors import Conflict, ShoalError, Timeout, Unavailable
from shoal.fault_points.injection import fault

_log = logging.getLogger(__name__)


class ImageDeletion:
    """What follows the removal of an image's last name, by the manager that removed it or by the leader.

    Args:
        contents: the image repository.
    """

    def __init__(self, *, store: RecordStore, contents: StoredImages, now_ms: NowMs) -> None:
        self._store = store
        self._contents = contents
        self._now_ms = now_ms

    async def delete(self, digest: str, mark: Name, version: int, *, fence: int | None = None) -> bool:
        """Delete the bytes of an image whose lock says that they are being deleted; whether that is done.

        What fails is logged and left to the leader's next attempt.

        Args:
            mark, version: of the lock, as it was written.
        Raises:
            LeadershipLost: the term is over.
        """
        error = await self._forget(digest)
        if error is None:
            fault("manager.images.bytes-deleted")
        write = settlement(digest, mark, error, has_repository=self.has_repository, now_ms=self._now_ms())
        unchanged = expect(NAME, lock_key(digest), version)
        try:
            await self._store.commit([write], expects=[unchanged], fence=fence)
        except (Conflict, Unavailable, Timeout) as failure:  # the mark runs out
            _log.info("the removal of image %s is not completed: %s", digest, failure)
            return False
        return error is None

    @property
    def has_repository(self) -> bool:
        """Whether the cluster has an image repository."""
        settings = self._store.tables.settings
        return settings is not None and bool(settings.image_repository)

    async def _forget(self, digest: str) -> ShoalError | None:
        try:
            await self._contents.forget(digest)
        except ShoalError as error:
            _log.warning("image %s stays in the cluster's image repository: %s", digest, error)
            return error
        return None
