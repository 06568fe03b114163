"""Sealing everything anew with the current cluster key, once every manager has it. Run by the leader alone."""

import logging
from collections.abc import Iterator

from manager.certificate_authority import records
from manager.control_api.seams import Records
from manager.files.contents import SealedContents
from manager.store import kinds
from manager.store.changes import Expect, Write, expect, put
from manager.store.tables import View
from shoal.errors import Conflict, InvalidInput, Timeout, Unavailable
from shoal.identity.keyring import Keyring

_log = logging.getLogger(__name__)

_WAKING = frozenset({kinds.MANAGER.name, kinds.SECRET.name, kinds.CLUSTER.name})


class KeyRotation:
    """Looks again after each change that may let it go on; does nothing where there is no older key."""

    def __init__(self, *, store: Records, keyring: Keyring) -> None:
        self._store = store
        self._keyring = keyring

    async def run(self, fence: int) -> None:
        """Until cancelled, or at once where nothing is to be done.

        Raises:
            Deposed: the term is over.
        """
        if self._keyring.older is None:
            return
        with self._store.follow() as changes:
            while True:
                await self._seal_anew(fence)
                async for batch in changes:
                    if any(change.kind.name in _WAKING for change in batch):
                        break

    async def _seal_anew(self, fence: int) -> None:
        if behind := managers_behind(self._store.tables, self._keyring):
            _log.info("the new cluster key is not in use yet: it is missing on %s", ", ".join(behind))
            return
        try:
            done = 0
            for write, unchanged in list(rewraps(self._store.tables, self._keyring)):
                await self._store.commit([write], expects=[unchanged], fence=fence)
                done += 1
        except (Conflict, Unavailable, Timeout) as error:
            _log.info("sealing with the new cluster key is put off: %s", error)
            return
        if done:
            _log.info("%d records sealed anew", done)
        _log.info("everything is sealed with the new cluster key; the older key's file can be deleted on every manager")


def managers_behind(view: View, keyring: Keyring) -> list[str]:
    """Addresses of managers that have another cluster key than this one."""
    return sorted(each.api_address for each in view.managers.values() if each.key_id != keyring.key_id)


def rewraps(view: View, keyring: Keyring) -> Iterator[tuple[Write, Expect]]:
    """What is sealed with the older key, under the current one: the cluster's record and the data keys of secrets.

    A secret that no key opens is told in the log and left: it was damaged, or sealed with a key long gone.
    """
    if (cluster := view.cluster) is not None and (sealed := records.rewrapped(cluster, keyring)) is not None:
        yield put(kinds.CLUSTER, "", sealed), expect(kinds.CLUSTER, "", cluster.meta.version)
    contents = SealedContents(keyring)
    for identifier, secret in view.secrets.items():
        try:
            changed = contents.rewrapped(secret)
        except InvalidInput as error:
            _log.error("secret %s cannot be sealed anew: %s", secret.spec.name, error)
            continue
        if changed is not None:
            yield put(kinds.SECRET, identifier, changed), expect(kinds.SECRET, identifier, secret.meta.version)
