"""Re-encrypts all data at rest with the current cluster key once every manager has it. Runs on the leader only."""

import logging
from collections.abc import Iterator

from manager.backups.targets import SECRET_KEY_PURPOSE
from manager.certificate_authority import cluster_record
from manager.controllers.record_triggers import wait_for_change
from manager.file_contents.content_codec import EncryptedCodec
from manager.store import kinds
from manager.store.changes import Expect, Write, expect, put
from manager.store.record_store import RecordStore
from manager.store.tables import View
from shoal.api.v1.cluster_pb2 import BackupSchedule
from shoal.errors import Conflict, InvalidInput, Timeout, Unavailable
from shoal.fault_points.injection import fault
from shoal.identity.keyring import Keyring

_log = logging.getLogger(__name__)

_TRIGGERS = frozenset({kinds.MANAGER.name, kinds.SECRET.name, kinds.CLUSTER.name, kinds.BACKUP_SCHEDULE.name})


class ClusterKeyRotation:
    """Checks again after each relevant change; does nothing without a previous key."""

    def __init__(self, *, store: RecordStore, keyring: Keyring) -> None:
        self._store = store
        self._keyring = keyring

    async def run(self, fence: int) -> None:
        """Until cancelled; returns at once if there is no previous key.

        Raises:
            LeadershipLost: the term is over.
        """
        if self._keyring.previous is None:
            return
        with self._store.follow() as changes:
            while True:
                succeeded = await self._reencrypt(fence)
                await wait_for_change(changes, _TRIGGERS, succeeded=succeeded)

    async def _reencrypt(self, fence: int) -> bool:
        """Whether everything was written that can be now."""
        if outdated := managers_without_key(self._store.tables, self._keyring):
            _log.info("waiting to use the new cluster key: it is missing on %s", ", ".join(outdated))
            return True
        try:
            done = 0
            for write, unchanged in list(reencrypted_records(self._store.tables, self._keyring)):
                await self._store.commit([write], expects=[unchanged], fence=fence)
                fault("manager.cluster-key.reencrypted")
                done += 1
        except (Conflict, Unavailable, Timeout) as error:
            _log.info("cannot re-encrypt with the new cluster key yet: %s", error)
            return False
        if done:
            _log.info("re-encrypted %d records", done)
        _log.info("all data is encrypted with the new cluster key; delete the previous key on every manager")
        return True


def managers_without_key(view: View, keyring: Keyring) -> list[str]:
    """Addresses of managers that have another cluster key than this one."""
    return sorted(each.api_address for each in view.managers.values() if each.key_id != keyring.key_id)


def reencrypted_records(view: View, keyring: Keyring) -> Iterator[tuple[Write, Expect]]:
    """The records that use the previous key, re-encrypted: the cluster's, that of backups, and secrets' data keys.

    A secret that no key decrypts is logged and left: it is damaged, or was encrypted with a key that no longer exists.
    """
    if (cluster := view.cluster) is not None and (
        reencrypted := cluster_record.reencrypted(cluster, keyring)
    ) is not None:
        yield put(kinds.CLUSTER, "", reencrypted), expect(kinds.CLUSTER, "", cluster.meta.version)
    if (schedule := reencrypted_schedule(view.backup_schedule, keyring)) is not None:
        yield put(kinds.BACKUP_SCHEDULE, "", schedule), expect(kinds.BACKUP_SCHEDULE, "", schedule.meta.version)
    contents = EncryptedCodec(keyring)
    for identifier, secret in view.secrets.items():
        try:
            changed = contents.reencrypted(secret)
        except InvalidInput as error:
            _log.error("cannot re-encrypt secret %s: %s", secret.spec.name, error)
            continue
        if changed is not None:
            yield put(kinds.SECRET, identifier, changed), expect(kinds.SECRET, identifier, secret.meta.version)


def reencrypted_schedule(schedule: BackupSchedule | None, keyring: Keyring) -> BackupSchedule | None:
    """A copy whose secret key is encrypted with the current key; None if nothing is to be done."""
    if schedule is None or not schedule.target.encrypted_secret_key:
        return None
    try:
        changed = keyring.reencrypted(schedule.target.encrypted_secret_key, purpose=SECRET_KEY_PURPOSE)
    except InvalidInput as error:
        _log.error("cannot re-encrypt the secret key of the backup target: %s", error)
        return None
    if changed is None:
        return None
    copy = BackupSchedule()
    copy.CopyFrom(schedule)
    copy.target.encrypted_secret_key = changed
    return copy
