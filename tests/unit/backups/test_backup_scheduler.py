"""The leader makes the scheduled backups: one at a time, whatever fails, and its successor goes on."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pytest

from manager.backups.backup_handler import BackupHandler
from manager.backups.export import BackupExporter
from manager.backups.restoration import Restoration
from manager.backups.targets import DirectoryTarget, OpenedTarget, target_opener
from manager.certificate_authority.cluster_record import new_cluster
from manager.controllers.backup_scheduler import BackupScheduler
from manager.controllers.cluster_key_rotation import reencrypted_schedule
from manager.store.changes import put
from manager.store.kinds import CLUSTER, LEADER
from manager.store.store import Store
from shoal.api.v1.cluster_pb2 import BackupStatus, BackupTarget, Leader
from shoal.api.v1.control_pb2 import (
    BackupScheduleView,
    GetBackupScheduleRequest,
    RemoveBackupScheduleRequest,
    SetBackupScheduleRequest,
)
from shoal.errors import InvalidInput, LeadershipLost, NotFound, Unavailable
from shoal.identity.authority import Authority
from shoal.identity.keyring import Keyring
from shoal.identity.roles import Role
from shoal.rpc.caller import Caller
from tests.contract.store.rig import running_store
from tests.fakes.memory_etcd import MemoryEtcd

KEYRING = Keyring(bytes(range(32)))
HOUR = 3_600_000
ADMIN = Caller("a1", Role.ADMIN, "c1", "")


@dataclass
class Rig:
    """A cluster that is led, with a clock that stands still."""

    store: Store
    backend: MemoryEtcd
    directory: Path
    fence: int
    now: int = 1_700_000_000_000
    broken: bool = False
    keyring: Keyring = KEYRING
    tried: list[str] = field(default_factory=list)

    @property
    def exporter(self) -> BackupExporter:
        return BackupExporter(self.backend, self.keyring, lambda: self.now, "0.1.0")

    @property
    def handler(self) -> BackupHandler:
        return BackupHandler(
            store=self.store,
            exporter=self.exporter,
            open_target=self.open,
            now_ms=lambda: self.now,
            new_id=lambda: "s1",
        )

    def scheduler(self, manager_id: str = "m1") -> BackupScheduler:
        return BackupScheduler(
            store=self.store,
            exporter=self.exporter,
            open_target=self.open,
            manager_id=manager_id,
            directory=self.directory.parent,
            now_ms=lambda: self.now,
        )

    @asynccontextmanager
    async def open(self, target: BackupTarget) -> AsyncGenerator[OpenedTarget]:
        if self.broken:
            raise Unavailable(f"{target.address}: it is broken on purpose")
        self.tried.append(target.address)
        async with target_opener(self.keyring)(BackupTarget(address=str(self.directory))) as opened:
            yield opened

    async def set(self, **options: object) -> BackupScheduleView:
        request = SetBackupScheduleRequest(every_ms=HOUR, keep=2, target=BackupTarget(address=str(self.directory)))
        for name, value in options.items():
            setattr(request.target if hasattr(request.target, name) else request, name, value)
        return await self.handler.set(request, ADMIN)

    @property
    def status(self) -> BackupStatus:
        status = self.store.tables.backup_status
        assert status is not None
        return status

    def files(self) -> list[str]:
        return sorted(each.name for each in self.directory.iterdir())


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    made = tmp_path / "backups"
    made.mkdir()
    return made


@asynccontextmanager
async def rig(directory: Path) -> AsyncGenerator[Rig]:
    backend = MemoryEtcd()
    async with running_store(backend) as store:
        cluster = new_cluster("c1", Authority.create("c1", datetime.now(UTC)), keyring=KEYRING, now_ms=1)
        await store.commit([put(CLUSTER, "", cluster)])
        fence = await store.commit([put(LEADER, "", Leader(manager_id="m1"))])
        yield Rig(store, backend, directory, fence)


def test_a_clock_that_is_set_back_stops_no_backups(directory: Path) -> None:
    async def scenario() -> None:
        async with rig(directory) as made:
            await made.set(keep=1)
            await made.scheduler().back_up_if_due(made.fence)
            ahead = made.files()
            made.now -= 48 * HOUR
            await made.scheduler().back_up_if_due(made.fence)
            assert made.files() == [each.name for each in made.status.backups] != ahead
            assert made.status.backups[0].created_at_ms == made.now
            view = await made.handler.get(GetBackupScheduleRequest(), ADMIN)
            assert (view.problem, view.next_at_ms) == ("", made.now + HOUR)

    asyncio.run(scenario())


def test_backups_are_made_when_due_and_the_oldest_deleted(directory: Path) -> None:
    async def scenario() -> None:
        async with rig(directory) as made:
            scheduler = made.scheduler()
            await scheduler.back_up_if_due(made.fence)
            assert made.files() == []
            (directory / "notes.txt").write_text("mine")
            await made.set()
            for hour in range(4):
                await scheduler.back_up_if_due(made.fence)
                await scheduler.back_up_if_due(made.fence)
                view = await made.handler.get(GetBackupScheduleRequest(), ADMIN)
                assert len(view.status.backups) == min(hour + 1, 2)
                assert (view.problem, view.next_at_ms) == ("", made.now + HOUR)
                made.now += HOUR
            assert made.files() == ["notes.txt", *sorted(each.name for each in made.status.backups)]
            newest = made.status.backups[0]
            with (directory / newest.name).open("rb") as file:
                checked = Restoration(keyring=KEYRING, now_ms=lambda: 1).check(file)
            assert (checked.header.schedule, checked.header.records) == ("s1", newest.records)
            assert (directory / newest.name).stat().st_mode & 0o777 == 0o600
            assert (directory / newest.name).stat().st_size == newest.bytes

    asyncio.run(scenario())


def test_missed_backups_are_made_up_for_by_one(directory: Path) -> None:
    async def scenario() -> None:
        async with rig(directory) as made:
            await made.set()
            await made.scheduler().back_up_if_due(made.fence)
            made.now += 30 * HOUR
            for _ in range(3):
                await made.scheduler("m2").back_up_if_due(made.fence)
            assert [each.manager_id for each in made.status.backups] == ["m2", "m1"]

    asyncio.run(scenario())


def test_a_failure_is_shown_and_tried_again(directory: Path) -> None:
    async def scenario() -> None:
        async with rig(directory) as made:
            await made.set()
            made.broken = True
            await made.scheduler().back_up_if_due(made.fence)
            made.now += 59_000
            await made.scheduler().back_up_if_due(made.fence)
            assert (made.status.failures, made.status.succeeded_at_ms) == (1, 0)
            assert "broken on purpose" in made.handler.problem()
            made.now += 1_000
            await made.scheduler().back_up_if_due(made.fence)
            assert made.status.failures == 2
            made.broken = False
            made.now += 120_000
            await made.scheduler().back_up_if_due(made.fence)
            assert (made.status.failures, made.status.problem, made.handler.problem()) == (0, "", "")
            assert made.status.failed_at_ms and made.status.succeeded_at_ms == made.now

    asyncio.run(scenario())


def test_a_directory_that_is_missing_is_a_failure_and_is_not_created(directory: Path) -> None:
    async def scenario() -> None:
        async with rig(directory) as made:
            await made.set()
            directory.rmdir()
            await made.scheduler().back_up_if_due(made.fence)
            assert "No such file or directory" in made.status.problem
            assert not directory.exists()

    asyncio.run(scenario())


def test_a_manager_whose_term_is_over_makes_none(directory: Path) -> None:
    async def scenario() -> None:
        async with rig(directory) as made:
            await made.set()
            with pytest.raises(LeadershipLost):
                await made.scheduler().back_up_if_due(made.fence - 1)
            assert (made.files(), made.tried) == ([], [])

    asyncio.run(scenario())


def test_an_attempt_that_ended_with_its_manager_is_made_by_the_next(directory: Path) -> None:
    async def scenario() -> None:
        async with rig(directory) as made:
            await made.set()
            hangs = asyncio.Event()

            @asynccontextmanager
            async def hanging(target: BackupTarget) -> AsyncGenerator[OpenedTarget]:
                hangs.set()
                await asyncio.Event().wait()
                yield DirectoryTarget(directory)

            first = made.scheduler()
            first._open_target = hanging
            attempt = asyncio.ensure_future(first.back_up_if_due(made.fence))
            await hangs.wait()
            attempt.cancel()
            await asyncio.wait((attempt,))
            await made.scheduler("m2").back_up_if_due(made.fence)
            assert made.files() == []
            made.now += 60_000
            await made.scheduler("m2").back_up_if_due(made.fence)
            assert [each.manager_id for each in made.status.backups] == ["m2"]

    asyncio.run(scenario())


def test_what_an_interrupted_write_has_left_is_written_over(directory: Path) -> None:
    async def scenario() -> None:
        target = DirectoryTarget(directory)
        (directory / ".shoal-c1-s1.partial").write_bytes(b"half")
        with (directory.parent / "whole").open("w+b") as file:
            file.write(b"whole")
            await target.store("shoal-c1-s1-20260101T000000Z.backup", file)
        assert await target.names() == ["shoal-c1-s1-20260101T000000Z.backup"]
        assert (directory / "shoal-c1-s1-20260101T000000Z.backup").read_bytes() == b"whole"

    asyncio.run(scenario())


def test_the_secret_key_is_stored_encrypted_and_never_answered(directory: Path) -> None:
    async def scenario() -> None:
        async with rig(directory) as made:
            options = {"address": "s3://bucket/x", "endpoint": "https://s3:1", "access_key_id": "id"}
            view = await made.set(**options, secret_key="hunter2")
            assert not view.schedule.target.encrypted_secret_key
            assert b"hunter2" not in b"".join(each.value for each in made.backend._records.values())
            known = made.store.tables.backup_schedule
            assert known is not None
            assert (
                KEYRING.decrypt(known.target.encrypted_secret_key, purpose="secret key of the backup target")
                == b"hunter2"
            )
            await made.set(**options, keep=5)
            kept = made.store.tables.backup_schedule
            assert kept is not None and kept.keep == 5
            assert kept.target.encrypted_secret_key == known.target.encrypted_secret_key
            # Nor is it shown to another service.
            with pytest.raises(InvalidInput, match="together with the secret key"):
                await made.set(**{**options, "endpoint": "https://other:1"})
            rotated = reencrypted_schedule(kept, Keyring(bytes(32), KEYRING.current))
            assert rotated is not None
            purpose = "secret key of the backup target"
            assert Keyring(bytes(32)).decrypt(rotated.target.encrypted_secret_key, purpose=purpose) == b"hunter2"
            assert reencrypted_schedule(rotated, Keyring(bytes(32), KEYRING.current)) is None

    asyncio.run(scenario())


def test_a_service_that_refuses_is_no_schedule(directory: Path) -> None:
    async def scenario() -> None:
        async with rig(directory) as made:
            made.broken = True
            with pytest.raises(Unavailable, match="broken on purpose"):
                await made.set(address="s3://bucket/x")
            assert made.store.tables.backup_schedule is None

    asyncio.run(scenario())


def test_a_schedule_ends_and_its_backups_stay(directory: Path) -> None:
    async def scenario() -> None:
        async with rig(directory) as made:
            with pytest.raises(NotFound):
                await made.handler.remove(RemoveBackupScheduleRequest(), ADMIN)
            await made.set()
            await made.scheduler().back_up_if_due(made.fence)
            view = await made.handler.remove(RemoveBackupScheduleRequest(), ADMIN)
            assert not view.HasField("schedule") and made.store.tables.backup_status is None
            made.now += 9 * HOUR
            await made.scheduler().back_up_if_due(made.fence)
            assert len(made.files()) == 1

    asyncio.run(scenario())


@pytest.mark.parametrize(
    "options",
    [{"keep": 0}, {"every_ms": 1}, {"address": "x"}, {"address": "s3://bucket", "ca_certificate": b"no certificate"}],
)
def test_wrong_settings_are_refused(directory: Path, options: dict[str, object]) -> None:
    async def scenario() -> None:
        async with rig(directory) as made:
            with pytest.raises(InvalidInput):
                await made.set(**options)

    asyncio.run(scenario())
