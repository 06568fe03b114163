"""A manager that is older than the state it finds ends with a reason, and touches nothing: real processes."""

import asyncio
import json
import time
from pathlib import Path

from manager.etcd.client import Etcd
from manager.etcd.members import cluster_members
from manager.store.backend import Put
from manager.store.kinds import STATE_FORMAT
from manager.upgrades import state_formats
from shoal.api.v1.cluster_pb2 import StateFormat
from shoal.state_format import this_release
from tests.integration.manager.manager_process import EtcdProcess, ManagerProcess, running_manager

NEWER = state_formats.STATE_FORMAT + 1


def end_of(manager: ManagerProcess) -> int:
    assert manager.process is not None
    return manager.process.wait(timeout=60)


def file_once_written(path: Path) -> dict[str, object]:
    deadline = time.monotonic() + 60
    while not path.exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    found: dict[str, object] = json.loads(path.read_bytes())
    return found


def test_by_the_state_directory_before_etcd_starts(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with running_manager(tmp_path) as (manager, _):
            path = manager.state / "format.json"
            written = await asyncio.to_thread(file_once_written, path)
            assert written == {"format": state_formats.STATE_FORMAT, "release": this_release()}
            assert manager.stop() == 0
            path.write_text(json.dumps({"format": NEWER, "release": "9.0"}))
            log = manager.state / "etcd" / "log"
            before = log.stat().st_mtime_ns
            manager.start()
            assert await asyncio.to_thread(end_of, manager) == 4
            assert f"{manager.state} was written by Shoal 9.0 (state format {NEWER})" in manager.log
            assert "Install Shoal 9.0 or later on this host, or restore a backup" in manager.log
            assert log.stat().st_mtime_ns == before, "etcd was not started"

    asyncio.run(scenario())


def test_by_the_records_in_an_external_etcd(tmp_path: Path) -> None:
    etcd = EtcdProcess(tmp_path / "etcd", flags=("--max-txn-ops=1024",))
    etcd.start()
    try:
        etcd.wait_until_healthy()
        asyncio.run(_newer_records(tmp_path, etcd.endpoint))
    finally:
        etcd.kill()


async def _newer_records(directory: Path, endpoint: str) -> None:
    async with running_manager(directory, "--etcd-endpoint", endpoint) as (manager, _):
        await asyncio.to_thread(file_once_written, manager.state / "format.json")
        record = StateFormat(number=NEWER, release="9.0").SerializeToString()
        async with cluster_members([endpoint], None) as members:
            await Etcd(members=members).txn((), [Put(STATE_FORMAT.key(""), record)])
        # A manager that runs, and one that starts.
        assert await asyncio.to_thread(end_of, manager) == 4
        manager.start()
        assert await asyncio.to_thread(end_of, manager) == 4
        assert "the cluster's state in etcd was written by Shoal 9.0" in manager.log
