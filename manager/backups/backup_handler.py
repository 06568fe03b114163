"""The calls about backups: one now, and the schedule."""

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

from cryptography import x509

from manager.backups.export import BackupExporter
from manager.backups.schedule_rules import S3_SCHEME, next_run_ms, problem, schedule_faults
from manager.backups.targets import SECRET_KEY_PURPOSE, OpenTarget
from manager.store.changes import PRESENT, delete, expect, put
from manager.store.kinds import BACKUP_SCHEDULE, BACKUP_STATUS
from manager.store.record_store import RecordStore
from shoal.api.v1.cluster_pb2 import BackupSchedule, BackupStatus
from shoal.api.v1.control_pb2 import (
    BackupScheduleView,
    ExportBackupRequest,
    ExportBackupResponse,
    GetBackupScheduleRequest,
    RemoveBackupScheduleRequest,
    SetBackupScheduleRequest,
)
from shoal.backups.backup_header import BLOCK_BYTES
from shoal.errors import Fault, InvalidInput, NotFound
from shoal.ids import NewId
from shoal.rpc.caller import Caller

MAX_CA_BYTES = 64 << 10


class BackupHandler:
    """The calls.

    Args:
        exporter: reads the records.
        open_target: opens a schedule's target.
        now_ms: milliseconds since the Unix epoch.
    """

    def __init__(
        self,
        *,
        store: RecordStore,
        exporter: BackupExporter,
        open_target: OpenTarget,
        now_ms: Callable[[], int],
        new_id: NewId,
    ) -> None:
        self._store = store
        self._exporter = exporter
        self._open_target = open_target
        self._now_ms = now_ms
        self._new_id = new_id

    async def export(self, _: ExportBackupRequest, caller: Caller) -> AsyncGenerator[ExportBackupResponse, None]:
        """Raises Unavailable: etcd does not respond, or was compacted meanwhile."""
        export = await self._exporter.export()
        records = export.header.records
        async with aclosing(export.parts) as parts:
            async for part in parts:
                for start in range(0, len(part.data), BLOCK_BYTES):
                    data = part.data[start : start + BLOCK_BYTES]
                    yield ExportBackupResponse(data=data, records_done=part.records_done, records=records)

    async def get(self, _: GetBackupScheduleRequest, caller: Caller) -> BackupScheduleView:
        return self._view()

    async def set(self, request: SetBackupScheduleRequest, caller: Caller) -> BackupScheduleView:
        """Raises InvalidInput: a setting is not valid. Unavailable: the S3 service does not respond, or refuses."""
        schedule = self._schedule(request)
        faults = [*schedule_faults(schedule), *_ca_faults(request.target.ca_certificate)]
        if bool(schedule.target.access_key_id) != bool(schedule.target.encrypted_secret_key):
            faults.append(Fault("access-key-id", "must be given together with the secret key"))
        if faults:
            raise InvalidInput(faults)
        if schedule.target.address.startswith(S3_SCHEME):
            async with self._open_target(schedule.target) as target:
                await target.names()
        version = self._store.version_of(BACKUP_SCHEDULE, "")
        await self._store.commit([put(BACKUP_SCHEDULE, "", schedule)], expects=[expect(BACKUP_SCHEDULE, "", version)])
        return self._view()

    async def remove(self, _: RemoveBackupScheduleRequest, caller: Caller) -> BackupScheduleView:
        """Raises NotFound: there is none."""
        if self._known is None:
            raise NotFound("backup schedule not found; create one with `shoal cluster backup --every`")
        await self._store.commit(
            [delete(BACKUP_SCHEDULE, ""), delete(BACKUP_STATUS, "")], expects=[expect(BACKUP_SCHEDULE, "", PRESENT)]
        )
        return self._view()

    def problem(self) -> str:
        """As `schedule_rules.problem`."""
        return problem(self._known, self._status, self._now_ms())

    @property
    def _known(self) -> BackupSchedule | None:
        return self._store.tables.backup_schedule

    @property
    def _status(self) -> BackupStatus | None:
        return self._store.tables.backup_status

    def _schedule(self, request: SetBackupScheduleRequest) -> BackupSchedule:
        known, now_ms = self._known, self._now_ms()
        schedule = BackupSchedule(every_ms=request.every_ms, keep=request.keep, target=request.target)
        schedule.meta.id = known.meta.id if known is not None else self._new_id()
        schedule.meta.created_at_ms = known.meta.created_at_ms if known is not None else now_ms
        schedule.meta.updated_at_ms = now_ms
        schedule.target.encrypted_secret_key = b""
        if request.secret_key:
            sealed = self._exporter.keyring.encrypt(request.secret_key.encode(), purpose=SECRET_KEY_PURPOSE)
            schedule.target.encrypted_secret_key = sealed
        elif known is not None and _same_service(known, schedule):
            schedule.target.encrypted_secret_key = known.target.encrypted_secret_key
        return schedule

    def _view(self) -> BackupScheduleView:
        known, status, now_ms = self._known, self._status, self._now_ms()
        view = BackupScheduleView(problem=self.problem(), key_id=self._exporter.keyring.key_id)
        if known is None:
            return view
        view.schedule.CopyFrom(known)
        view.schedule.target.encrypted_secret_key = b""
        view.next_at_ms = next_run_ms(known, status, now_ms) or now_ms
        if status is not None and status.schedule_id == known.meta.id:
            view.status.CopyFrom(status)
        return view


def _same_service(known: BackupSchedule, schedule: BackupSchedule) -> bool:
    """Whether a stored secret key may be used again: never for another endpoint, to which it would be shown."""
    old, new = known.target, schedule.target
    return (old.endpoint, old.access_key_id) == (new.endpoint, new.access_key_id)


def _ca_faults(pem: bytes) -> list[Fault]:
    if not pem:
        return []
    try:
        if len(pem) > MAX_CA_BYTES:
            raise ValueError
        x509.load_pem_x509_certificates(pem)
    except ValueError:
        return [Fault("ca", "must contain certificates (PEM), at most 64 KiB")]
    return []
