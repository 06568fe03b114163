"""Makes the scheduled backups. Runs on the leader only, so that each is made once."""

import asyncio
import logging
import tempfile
from collections.abc import Callable
from pathlib import Path

from manager.backups.export import BackupExporter, exported
from manager.backups.schedule_rules import expired, kept_backups, next_run_ms, stored_name, unlisted
from manager.backups.targets import OpenedTarget, OpenTarget
from manager.store.changes import PRESENT, expect, put
from manager.store.kinds import BACKUP_SCHEDULE, BACKUP_STATUS
from manager.store.record_store import RecordStore
from shoal.api.v1.cluster_pb2 import BackupSchedule, BackupStatus, StoredBackup
from shoal.backups.backup_header import BackupHeader
from shoal.backups.backup_reader import inspect_backup
from shoal.errors import Conflict, InvalidInput, LeadershipLost, NotFound, ShoalError, Timeout, Unavailable
from shoal.fault_points.injection import fault

CHECK_SECONDS = 1.0
ATTEMPT_SECONDS = 3600.0
MAX_INSPECTED = 8
"""Backups that are read again in one attempt, since no status lists them."""

_log = logging.getLogger(__name__)


class BackupScheduler:
    """Checks each second whether a backup is due; what is due is in the records, so that the next leader goes on.

    Args:
        exporter: reads the records.
        open_target: opens the schedule's target.
        directory: of this manager, for the file until it is stored.
        now_ms: milliseconds since the Unix epoch.
    """

    def __init__(
        self,
        *,
        store: RecordStore,
        exporter: BackupExporter,
        open_target: OpenTarget,
        manager_id: str,
        directory: Path,
        now_ms: Callable[[], int],
    ) -> None:
        self._store = store
        self._exporter = exporter
        self._open_target = open_target
        self._manager_id = manager_id
        self._directory = directory
        self._now_ms = now_ms

    async def run(self, fence: int) -> None:
        """Until cancelled.

        Raises:
            LeadershipLost: the term is over.
        """
        while True:
            await self.back_up_if_due(fence)
            await asyncio.sleep(CHECK_SECONDS)

    async def back_up_if_due(self, fence: int) -> None:
        """A failure is in the status and in the log."""
        schedule = self._store.tables.backup_schedule
        known = self._store.tables.backup_status
        now_ms = self._now_ms()
        if schedule is None or now_ms < next_run_ms(schedule, known, now_ms):
            return
        status = BackupStatus(schedule_id=schedule.meta.id)
        if known is not None and known.schedule_id == schedule.meta.id:
            status.CopyFrom(known)
        status.started_at_ms, status.ended_at_ms, status.manager_id = now_ms, 0, self._manager_id
        try:
            await self._commit(status, fence)
            fault("manager.backup.started")
            ended = await self._attempt(schedule, status)
            await self._commit(ended, fence)
            fault("manager.backup.recorded")
        except (Conflict, Timeout, Unavailable) as error:
            _log.warning("cannot record the scheduled backup: %s", error)

    async def _attempt(self, schedule: BackupSchedule, status: BackupStatus) -> BackupStatus:
        ended = BackupStatus()
        ended.CopyFrom(status)
        try:
            async with asyncio.timeout(ATTEMPT_SECONDS):
                await self._back_up(schedule, ended)
        except LeadershipLost:
            raise
        except (ShoalError, OSError, TimeoutError) as error:
            ended.problem = str(error) or type(error).__name__
            ended.failures += 1
            ended.ended_at_ms = ended.failed_at_ms = self._now_ms()
            _log.error("the scheduled backup failed: %s", ended.problem)
        else:
            ended.problem, ended.failures = "", 0
            ended.ended_at_ms = ended.succeeded_at_ms = self._now_ms()
            made = ended.backups[0]
            _log.info("stored the backup %s: %d records, %d bytes", made.name, made.records, made.bytes)
        return ended

    async def _back_up(self, schedule: BackupSchedule, status: BackupStatus) -> None:
        """Make one, store it, and delete those that are too many."""
        async with self._open_target(schedule.target) as target:
            with tempfile.TemporaryFile(dir=self._directory) as file:
                export = await self._exporter.export(schedule=schedule.meta.id)
                async for part in exported(export):
                    await asyncio.to_thread(file.write, part.data)
                size = file.tell()
                header = export.header
                name = stored_name(header.cluster, header.schedule, header.created_at_ms)
                fault("manager.backup.exported")
                await target.store(str(name), file)
                fault("manager.backup.stored")
            names = await target.names()
            gone = expired(names, name, keep=schedule.keep)
            for each in gone:
                await target.delete(each)
                fault("manager.backup.expired-deleted")
            present = [each for each in names if each not in gone]
            others = [await self._inspected(target, each) for each in unlisted(present, status, name)[:MAX_INSPECTED]]
            made = self._described(str(name), header, size)
            kept = kept_backups(status, made, present=present, shared=target.shared, keep=schedule.keep)
            found = [*kept[1:], *(each for each in others if each is not None)]
            del status.backups[:]
            status.backups.extend([made, *sorted(found, key=lambda each: -each.created_at_ms)][: schedule.keep])

    async def _inspected(self, target: OpenedTarget, name: str) -> StoredBackup | None:
        """A backup that is in the target; None: it is damaged, or was deleted."""
        with tempfile.TemporaryFile(dir=self._directory) as file:
            try:
                await target.fetch(name, file)
                file.seek(0)
                inspected = await asyncio.to_thread(inspect_backup, file)
            except (InvalidInput, NotFound) as error:
                _log.warning("the backup %s is not listed: %s", name, error)
                return None
        return self._described(name, inspected.header, inspected.size_bytes)

    def _described(self, name: str, header: BackupHeader, size: int) -> StoredBackup:
        return StoredBackup(
            name=name,
            manager_id=self._manager_id,
            created_at_ms=header.created_at_ms,
            revision=header.revision,
            records=header.records,
            bytes=size,
            key_id=header.key_id,
        )

    async def _commit(self, status: BackupStatus, fence: int) -> None:
        """Nothing is written once the schedule is gone."""
        await self._store.commit(
            [put(BACKUP_STATUS, "", status)], expects=[expect(BACKUP_SCHEDULE, "", PRESENT)], fence=fence
        )
