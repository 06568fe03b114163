"""Restores a backup to an empty etcd. The whole file is read and checked before anything is written."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import BinaryIO

from google.protobuf.message import DecodeError

from manager.backups.export import OTHER, is_in_backups
from manager.certificate_authority.cluster_record import decrypt_authority
from manager.store.backend import Backend, Put, prefix_end
from manager.store.kinds import CLUSTER, EPOCH, REGISTERED_MANAGER, REMOVED_MANAGER, ROOT, parse_key
from manager.store.revision_offset import next_offset
from manager.store.transaction import MAX_BYTES, size
from shoal import ids
from shoal.api.v1.cluster_pb2 import Cluster, Epoch, RegisteredManager, RemovedManager
from shoal.backups.backup_header import BackupHeader
from shoal.backups.backup_reader import BackupRecord, InspectedBackup, count_by, inspect_backup, read_backup
from shoal.errors import InvalidInput, Refused
from shoal.identity.keyring import Keyring
from shoal.ids import NewId


@dataclass(frozen=True)
class CheckedBackup:
    """A backup that was read to its end: every record is whole, and the cluster key decrypts what is in it.

    Attributes:
        ca_certificate: of the cluster, PEM.
        managers: of the cluster at that time.
    """

    inspected: InspectedBackup
    ca_certificate: bytes
    managers: Sequence[RegisteredManager]

    @property
    def header(self) -> BackupHeader:
        return self.inspected.header


@dataclass(frozen=True)
class Restoration:
    """How a backup is restored.

    Attributes:
        now_ms: milliseconds since the Unix epoch.
        manager_id: of the manager that continues with its identity; empty: there is none.
        forget_managers: the others are no managers any more, and join anew; with an external etcd they stay.
    """

    keyring: Keyring
    now_ms: Callable[[], int]
    manager_id: str = ""
    forget_managers: bool = True
    new_id: NewId = ids.new_id

    def check(self, file: BinaryIO) -> CheckedBackup:
        """Read the whole file, which can be sought, and write nothing.

        Raises:
            InvalidInput: it is no backup, incomplete, damaged or of a newer format; or the cluster key is another one.
            OSError: it cannot be read.
        """
        file.seek(0)
        inspected = inspect_backup(file)
        cluster, managers, names = Cluster(), [], []
        for record, kind in _checked(self._records(file)):
            names.append(kind)
            if kind == CLUSTER.name:
                cluster = Cluster.FromString(record.value)
            elif kind == REGISTERED_MANAGER.name:
                managers.append(RegisteredManager.FromString(record.value))
        header = inspected.header
        if count_by(iter(names)) != dict(header.counts):
            raise InvalidInput("it contains other records than its header says")
        if cluster.meta.id != header.cluster:
            raise InvalidInput("it contains no cluster, or another one than its header says")
        decrypt_authority(cluster, self.keyring)
        return CheckedBackup(inspected, cluster.ca_certificate, tuple(managers))

    async def write(self, backend: Backend, file: BinaryIO, checked: CheckedBackup) -> None:
        """Write the records, and start a new epoch: managers that loaded the previous records can write no more, and
        no version of a record that was read before is given again.

        Args:
            file: the one that was checked.

        Raises:
            Refused: etcd is not empty. InvalidInput: the file was changed meanwhile.
            Unavailable, OutcomeUnknown: etcd is unavailable; what was written is no cluster yet.
        """
        start = ROOT.encode()
        if (await backend.range(start, prefix_end(start), limit=1)).records:
            raise Refused("etcd already contains records; restore a backup to an empty etcd")
        for batch in _batches(self._puts(file, checked), lambda: backend.max_operations):
            await backend.txn((), batch)

    def _puts(self, file: BinaryIO, checked: CheckedBackup) -> Iterator[Put]:
        """The cluster's record comes last: no manager starts on a partial restore."""
        last: Put | None = None
        removed: set[bytes] = set()
        if self.forget_managers:
            for each in self._removed(checked):
                removed.add(REMOVED_MANAGER.key(each.id))
                yield Put(REMOVED_MANAGER.key(each.id), each.SerializeToString())
        file.seek(0)
        for record in self._records(file):
            place = parse_key(record.key)
            if record.key == CLUSTER.key(""):
                last = Put(record.key, record.value)
            elif record.key not in removed and not (place and place[0] is REGISTERED_MANAGER and self.forget_managers):
                yield Put(record.key, record.value)
        epoch = self._epoch(checked.header)
        yield Put(EPOCH.key(epoch.id), epoch.SerializeToString())
        if last is None or self._digest(file) != checked.inspected.sha256:
            raise InvalidInput("it was changed while it was restored")
        yield last

    def _epoch(self, header: BackupHeader) -> Epoch:
        """Later than any before it, whatever this host's clock says; its revisions are higher than any before."""
        now_ms = self.now_ms()
        return Epoch(
            id=self.new_id(),
            started_at_ms=max(now_ms, header.created_at_ms + 1),
            revision_offset=next_offset(header.revision, header.created_at_ms, now_ms),
        )

    def _removed(self, checked: CheckedBackup) -> Iterator[RemovedManager]:
        for manager in checked.managers:
            if manager.id != self.manager_id:
                yield RemovedManager(id=manager.id, removed_at_ms=self.now_ms())

    def _records(self, file: BinaryIO) -> Iterator[BackupRecord]:
        file.seek(0)
        return read_backup(file, self._key)

    def _key(self, header: BackupHeader) -> bytes:
        key = self.keyring.key_named(header.key_id)
        if key is None:
            raise InvalidInput(
                f"it is encrypted with cluster key {header.key_id}, and this manager has {self.keyring.key_id}; "
                "put the file cluster.key of that cluster and time in place"
            )
        return key

    @staticmethod
    def _digest(file: BinaryIO) -> str:
        file.seek(0)
        return inspect_backup(file).sha256


def _checked(records: Iterator[BackupRecord]) -> Iterator[tuple[BackupRecord, str]]:
    """Each record with the name of its kind. Raises InvalidInput: one does not belong into a backup."""
    previous = b""
    for record in records:
        if record.key <= previous or not record.key.startswith(ROOT.encode()):
            raise InvalidInput("its records are not in order")
        previous = record.key
        yield record, _kind(record)


def _kind(record: BackupRecord) -> str:
    try:
        place = parse_key(record.key)
        if place is None:
            return OTHER
        place[0].message.FromString(record.value)
    except (UnicodeDecodeError, DecodeError) as error:
        raise InvalidInput(f"the record {hashlib.sha256(record.key).hexdigest()[:12]} cannot be read") from error
    if not is_in_backups(record.key):
        raise InvalidInput(f"it contains a record of the kind {place[0].name}")
    return place[0].name


def _batches(puts: Iterator[Put], max_operations: Callable[[], int]) -> Iterator[list[Put]]:
    batch: list[Put] = []
    room = MAX_BYTES
    for put in puts:
        if batch and (len(batch) >= max_operations() or size(put) > room or put.key == CLUSTER.key("")):
            yield batch
            batch, room = [], MAX_BYTES
        batch.append(put)
        room -= size(put)
    if batch:
        yield batch
