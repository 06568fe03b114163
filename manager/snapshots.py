"""`shoal-manager snapshot` and `restore`: all records of a cluster to a file, and back into an etcd that is empty."""

import asyncio
import time
from pathlib import Path

from manager.etcd_access import etcd_of, running_etcd_of
from manager.settings import Settings
from manager.store import snapshot
from manager.store.snapshot import About
from shoal.errors import Unavailable
from shoal.identity.private_files import make_private_directory


def take(settings: Settings, file: Path) -> About:
    """Raises as `manager.store.snapshot.save` and `running_etcd_of`."""
    return asyncio.run(_take(settings, file))


def bring_back(settings: Settings, file: Path) -> About:
    """Raises as `manager.store.snapshot.restore` and `etcd_of`."""
    snapshot.read(file)  # so that nothing is made for a file that is none
    return asyncio.run(_bring_back(settings, file))


async def _take(settings: Settings, file: Path) -> About:
    async with running_etcd_of(settings) as etcd:
        return await snapshot.save(etcd, file, _now_ms)


async def _bring_back(settings: Settings, file: Path) -> About:
    try:
        make_private_directory(settings.state_directory)
    except OSError as error:
        raise Unavailable(f"cannot make {settings.state_directory}: {error.strerror}; run as root?") from error
    async with etcd_of(settings) as etcd:
        return await snapshot.restore(etcd, file, now_ms=_now_ms)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
