"""A snapshot has everything of one moment, and is restored whole into an empty etcd or not at all."""

from pathlib import Path

import pytest

from manager.store import snapshot
from manager.store.backend import Backend, Put
from manager.store.changes import put
from manager.store.kinds import CLUSTER, EPOCH, LEADER, MANAGER, TASK
from shoal.api.v1.cluster_pb2 import Cluster, Epoch, Leader, Manager
from shoal.api.v1.meta_pb2 import Meta
from shoal.api.v1.task_pb2 import Task
from shoal.errors import InvalidInput, NotFound, Refused
from tests.contract.store.rig import Rig, Run, running_store
from tests.fakes.memory_etcd import MemoryEtcd

TASKS = 4500


async def populate(backend: Backend) -> None:
    async with running_store(backend) as store:
        await store.commit([put(CLUSTER, "", Cluster(meta=Meta(id="c1")))])
        await store.commit([put(MANAGER, "m1", Manager(id="m1")), put(LEADER, "", Leader(manager_id="m1"))])
        tasks = [Task(id=f"t{number}", slot=number) for number in range(TASKS)]
        await store.commit_in_batches([put(TASK, task.id, task) for task in tasks])


def now_ms() -> int:
    return 1_000


def test_what_is_restored_is_what_was_saved(run: Run, tmp_path: Path) -> None:
    async def scenario(rig: Rig) -> None:
        await populate(rig.backend)
        file = tmp_path / "saved"
        about = await snapshot.save(rig.backend, file, now_ms)
        assert (about.cluster, about.records) == ("c1", TASKS + 1)
        assert file.stat().st_mode & 0o777 == 0o600
        empty = MemoryEtcd()
        empty.max_operations = 128
        assert await snapshot.restore(empty, file, now_ms=now_ms) == about
        async with running_store(rig.backend) as old, running_store(empty) as new:
            assert new.tables.tasks == old.tables.tasks
            assert new.tables.cluster is not None and new.tables.cluster.meta.id == "c1"
            assert not new.tables.managers and not new.tables.rows(LEADER)

    run(scenario)


def test_each_restoration_begins_an_epoch_of_its_own(run: Run, tmp_path: Path) -> None:
    async def scenario(rig: Rig) -> None:
        await populate(rig.backend)
        await rig.backend.txn((), [Put(EPOCH.key("e1"), Epoch(id="e1").SerializeToString())])
        await snapshot.save(rig.backend, tmp_path / "saved", now_ms)
        epochs: set[str] = set()
        for _ in range(2):
            empty = MemoryEtcd()
            await snapshot.restore(empty, tmp_path / "saved", now_ms=now_ms)
            async with running_store(empty) as store:
                epochs.update(store.tables.rows(EPOCH))
        assert len(epochs) == 2
        assert "e1" not in epochs

    run(scenario)


def test_an_etcd_with_records_is_left_alone(run: Run, tmp_path: Path) -> None:
    async def scenario(rig: Rig) -> None:
        full = MemoryEtcd()
        await populate(full)
        await snapshot.save(full, tmp_path / "saved", now_ms)
        await rig.backend.txn((), [Put(TASK.key("t"), Task(id="t").SerializeToString())])
        with pytest.raises(Refused, match="empty"):
            await snapshot.restore(rig.backend, tmp_path / "saved", now_ms=now_ms)
        assert len((await rig.backend.range(b"/", b"0")).records) == 1

    run(scenario)


def test_keys_of_a_later_version_are_kept(run: Run, tmp_path: Path) -> None:
    async def scenario(rig: Rig) -> None:
        await rig.backend.txn((), [Put(b"/shoal/v1/novelties/x", b"?"), Put(CLUSTER.key(""), b"")])
        await snapshot.save(rig.backend, tmp_path / "saved", now_ms)
        assert {each.key for each in snapshot.read(tmp_path / "saved")[1]} == {
            b"/shoal/v1/novelties/x",
            CLUSTER.key(""),
        }

    run(scenario)


def test_there_is_nothing_to_save_without_a_cluster(run: Run, tmp_path: Path) -> None:
    async def scenario(rig: Rig) -> None:
        with pytest.raises(NotFound, match="no cluster"):
            await snapshot.save(rig.backend, tmp_path / "saved", now_ms)
        assert not (tmp_path / "saved").exists()

    run(scenario)


def test_a_damaged_file_is_reported(run: Run, tmp_path: Path) -> None:
    async def scenario(rig: Rig) -> None:
        await populate(rig.backend)
        file = tmp_path / "saved"
        await snapshot.save(rig.backend, file, now_ms)
        whole = file.read_bytes()
        middle = len(whole) // 2
        changed = whole[:middle] + bytes([whole[middle] ^ 0x40]) + whole[middle + 1 :]
        for content in (b"", b"nonsense", whole[:middle], whole[:-3], changed):
            file.write_bytes(content)
            with pytest.raises(InvalidInput, match="not a valid snapshot"):
                snapshot.read(file)
        with pytest.raises(NotFound):
            snapshot.read(tmp_path / "none")

    run(scenario)
