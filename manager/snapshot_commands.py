"""`shoal-manager snapshot` and `restore`: save a cluster's records to a file, and restore them to an empty etcd."""

import asyncio
import time
from pathlib import Path

from manager.etcd.connect import connect_to_running_etcd, open_etcd
from manager.settings import Settings
from manager.store import snapshot
from manager.store.snapshot import SnapshotInfo
from shoal.errors import Unavailable
from shoal.identity.private_files import make_private_directory


def save_snapshot(settings: Settings, file: Path) -> SnapshotInfo:
    """Raises as `manager.store.snapshot.save` and `connect_to_running_etcd`."""
    return asyncio.run(_save(settings, file))


def restore_snapshot(settings: Settings, file: Path) -> SnapshotInfo:
    """Raises as `manager.store.snapshot.restore` and `open_etcd`."""
    snapshot.read(file)  # before anything is created
    return asyncio.run(_restore(settings, file))


async def _save(settings: Settings, file: Path) -> SnapshotInfo:
    async with connect_to_running_etcd(settings) as etcd:
        return await snapshot.save(etcd, file, _now_ms)


async def _restore(settings: Settings, file: Path) -> SnapshotInfo:
    try:
        make_private_directory(settings.state_directory)
    except OSError as error:
        raise Unavailable(
            f"cannot create {settings.state_directory}: {error.strerror}; run this command as root"
        ) from error
    async with open_etcd(settings) as opened:
        return await snapshot.restore(opened.client, file, now_ms=_now_ms)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
