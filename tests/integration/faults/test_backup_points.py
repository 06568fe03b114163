"""The manager is killed at each step of a scheduled backup: the next one is stored, each file in the target is whole,
and nothing else is left there."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from grpc import aio

from shoal.api.v1.cluster_pb2 import BackupTarget
from shoal.api.v1.control_pb2 import BackupScheduleView, GetBackupScheduleRequest, SetBackupScheduleRequest
from shoal.backups.backup_reader import read_backup
from tests.contract.backups.s3_service import BUCKET, SECRET_KEY, s3_service
from tests.integration.faults.faulty_manager import dies_and_returns
from tests.integration.manager.manager_process import ManagerProcess, running_manager, until

BEFORE_IT_IS_STORED = ("started", "exported", "draft-written", "in-place")
AFTER_IT_IS_STORED = ("stored", "recorded", "expired-deleted")
BACKUP_STEPS = (*BEFORE_IT_IS_STORED, *AFTER_IT_IS_STORED)
TO_A_BUCKET = ("exported", "stored", "expired-deleted")
HOUR_MS = 3_600_000
KEEP = 2
STORED_SECONDS = 150.0
"""A backup that fails, as on a busy machine, is attempted again after a minute."""


@pytest.mark.timeout(390)
@pytest.mark.parametrize("points", [BEFORE_IT_IS_STORED, AFTER_IT_IS_STORED], ids=["before", "after"])
def test_backups_to_a_directory_are_whole(points: tuple[str, ...], tmp_path: Path) -> None:
    target = tmp_path / "backups"
    target.mkdir()
    asyncio.run(backed_up(tmp_path, BackupTarget(address=str(target)), "", target, points))


@pytest.mark.timeout(390)
def test_backups_to_a_bucket_are_whole(tmp_path: Path) -> None:
    with s3_service(tmp_path) as service:
        stored = service.directory / BUCKET / "shoal"
        asyncio.run(backed_up(tmp_path, service.target(), SECRET_KEY, stored, TO_A_BUCKET))


async def backed_up(root: Path, target: BackupTarget, secret: str, stored: Path, points: tuple[str, ...]) -> None:
    """Die at each of the points in turn."""

    async def schedule(control: Any) -> None:
        """Again and again: the next backup is due at once then."""
        request = SetBackupScheduleRequest(every_ms=HOUR_MS, keep=KEEP, target=target, secret_key=secret)
        await control.SetBackupSchedule(request, timeout=60)

    async with running_manager(root) as (manager, control):
        for _ in range(KEEP):
            await succeeds(control, schedule)
        for point in points:
            control = await dies_and_returns(manager, f"manager.backup.{point}", schedule)
            view = await succeeds(control, schedule)
            check(manager, view, stored)


async def succeeds(control: Any, schedule: Callable[[Any], Awaitable[None]]) -> BackupScheduleView:
    """A backup is made of what is scheduled now."""
    await schedule(control)
    seen: list[BackupScheduleView] = []

    async def done() -> bool:
        with suppress(aio.AioRpcError):
            view = await control.GetBackupSchedule(GetBackupScheduleRequest(), timeout=10)
            seen[:] = [view]
            return is_made(view)
        return False

    await until(done, "a scheduled backup is stored", STORED_SECONDS)
    await asyncio.sleep(1 - seen[0].status.succeeded_at_ms % 1000 / 1000)  # names have seconds
    return seen[0]


def is_made(view: BackupScheduleView) -> bool:
    """Whether a backup has succeeded that was begun after it was scheduled: after others, the next one is due."""
    began_ms = view.status.started_at_ms
    return bool(began_ms >= view.schedule.meta.updated_at_ms and view.status.succeeded_at_ms >= began_ms)


def check(manager: ManagerProcess, view: BackupScheduleView, stored: Path) -> None:
    """Each file is a whole backup; those that are listed are there."""
    files = sorted(path.name for path in stored.iterdir())
    assert len(files) == KEEP, files
    key = (manager.state / "cluster.key").read_bytes()
    for name in files:
        with (stored / name).open("rb") as file:
            assert sum(1 for _ in read_backup(file, lambda _: key)) > 0
    assert {each.name for each in view.status.backups} == set(files)
    assert (view.status.problem, view.status.failures, view.problem) == ("", 0, "")
