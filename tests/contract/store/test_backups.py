"""A backup has everything of one moment, and is restored whole into an empty etcd or not at all."""

import io
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest

from manager.backups.export import BackupExporter, exported
from manager.backups.restoration import Restoration
from manager.certificate_authority.cluster_record import new_cluster
from manager.store import kinds
from manager.store.backend import Backend, Put, prefix_end
from manager.store.changes import put
from manager.store.kinds import CLUSTER, EPOCH, LEADER, MANAGER, REGISTERED_MANAGER, REMOVED_MANAGER, ROOT, TASK
from shoal.api.v1.cluster_pb2 import Epoch, Leader, Manager, RegisteredManager
from shoal.api.v1.task_pb2 import Task
from shoal.backups.backup_reader import inspect_backup
from shoal.errors import InvalidInput, NotFound, Refused, Unavailable
from shoal.identity.authority import Authority
from shoal.identity.keyring import Keyring
from tests.contract.store.rig import Rig, Run, running_store
from tests.fakes.memory_etcd import MemoryEtcd

TASKS = 1500
KEYRING = Keyring(bytes(range(32)))
CLUSTER_RECORD = new_cluster("c1", Authority.create("c1", datetime.now(UTC)), keyring=KEYRING, now_ms=1)


async def populate(backend: Backend) -> None:
    async with running_store(backend) as store:
        await store.commit([put(CLUSTER, "", CLUSTER_RECORD), put(EPOCH, "e1", Epoch(id="e1", started_at_ms=5))])
        await store.commit([put(MANAGER, "m1", Manager(id="m1")), put(LEADER, "", Leader(manager_id="m1"))])
        managers = [RegisteredManager(id=each, api_address=f"{each}:7440") for each in ("m1", "m2")]
        await store.commit([put(REGISTERED_MANAGER, each.id, each) for each in managers])
        tasks = [Task(id=f"t{number}", slot=number) for number in range(TASKS)]
        await store.commit_in_batches([put(TASK, task.id, task) for task in tasks])


def now_ms() -> int:
    return 1_000


def exporter(backend: Backend, keyring: Keyring = KEYRING) -> BackupExporter:
    return BackupExporter(backend, keyring, now_ms, "0.1.0")


def restoration(keyring: Keyring = KEYRING, *, manager_id: str = "m1", forget: bool = True) -> Restoration:
    return Restoration(keyring=keyring, now_ms=now_ms, manager_id=manager_id, forget_managers=forget)


async def backed_up(backend: Backend) -> io.BytesIO:
    return io.BytesIO(b"".join([part.data async for part in exported(await exporter(backend).export())]))


async def restored(file: io.BytesIO, to: Backend, how: Restoration) -> None:
    await how.write(to, file, how.check(file))


async def contents(backend: Backend, leave_out: Sequence[kinds.Kind[Epoch]] = ()) -> dict[bytes, bytes]:
    records = (await backend.range(ROOT.encode(), prefix_end(ROOT.encode()))).records
    return {each.key: each.value for each in records if not any(kind.identifier(each.key) for kind in leave_out)}


def test_what_is_restored_is_what_was_there_byte_for_byte(run: Run) -> None:
    async def scenario(rig: Rig) -> None:
        await populate(rig.backend)
        before = await contents(rig.backend, [EPOCH])
        file = await backed_up(rig.backend)
        header = inspect_backup(file).header
        assert (header.cluster, header.epoch, header.records) == ("c1", "e1", TASKS + 3)
        assert dict(header.counts) == {"cluster": 1, "registered manager": 2, "task": TASKS}
        empty = MemoryEtcd()
        empty.max_operations = 128
        await restored(file, empty, restoration(forget=False))
        after = await contents(empty, [EPOCH])
        running = {MANAGER.key("m1"), LEADER.key("")}
        assert after == {key: value for key, value in before.items() if key not in running}

    run(scenario)


def test_a_backup_is_of_its_first_moment(run: Run) -> None:
    async def scenario(rig: Rig) -> None:
        await populate(rig.backend)
        export = await exporter(rig.backend).export()
        await rig.backend.txn((), [Put(TASK.key("later"), Task(id="later").SerializeToString())])
        content = b"".join([part.data async for part in exported(export)])
        assert restoration().check(io.BytesIO(content)).header.records == TASKS + 3

    run(scenario)


def test_other_managers_are_removed_unless_etcd_is_external(run: Run) -> None:
    async def scenario(rig: Rig) -> None:
        await populate(rig.backend)
        file = await backed_up(rig.backend)
        for how, registered, removed in (
            (restoration(), set(), {"m2"}),
            (restoration(manager_id=""), set(), {"m1", "m2"}),
            (restoration(forget=False), {"m1", "m2"}, set()),
        ):
            empty = MemoryEtcd()
            await restored(file, empty, how)
            async with running_store(empty) as store:
                assert set(store.tables.registered_managers) == registered
                assert set(store.tables.removed_managers) == removed
                assert not store.tables.managers and not store.tables.rows(LEADER)
                assert set(store.tables.rows(REMOVED_MANAGER)) == removed

    run(scenario)


def test_each_restoration_begins_a_later_epoch(run: Run) -> None:
    async def scenario(rig: Rig) -> None:
        await populate(rig.backend)
        file = await backed_up(rig.backend)
        epochs: set[str] = set()
        for _ in range(2):
            empty = MemoryEtcd()
            await restored(file, empty, restoration())
            async with running_store(empty) as store:
                (epoch,) = store.tables.rows(EPOCH).values()
                epochs.add(epoch.id)
                assert epoch.started_at_ms > now_ms()
        assert len(epochs) == 2 and "e1" not in epochs

    run(scenario)


def test_an_etcd_with_records_is_left_alone(run: Run) -> None:
    async def scenario(rig: Rig) -> None:
        full = MemoryEtcd()
        await populate(full)
        await rig.backend.txn((), [Put(TASK.key("t"), Task(id="t").SerializeToString())])
        with pytest.raises(Refused, match="empty"):
            await restored(await backed_up(full), rig.backend, restoration())
        assert list(await contents(rig.backend)) == [TASK.key("t")]

    run(scenario)


def test_keys_of_a_later_release_are_kept(run: Run) -> None:
    async def scenario(rig: Rig) -> None:
        key = b"/shoal/v1/novelties/x"
        await rig.backend.txn((), [Put(key, b"?"), Put(CLUSTER.key(""), CLUSTER_RECORD.SerializeToString())])
        file = await backed_up(rig.backend)
        empty = MemoryEtcd()
        await restored(file, empty, restoration())
        assert (await contents(empty))[key] == b"?"

    run(scenario)


def test_there_is_nothing_to_back_up_without_a_cluster(run: Run) -> None:
    async def scenario(rig: Rig) -> None:
        with pytest.raises(NotFound, match="no cluster"):
            await exporter(rig.backend).export()

    run(scenario)


def test_a_compaction_while_it_is_read_ends_a_backup(run: Run) -> None:
    async def scenario(rig: Rig) -> None:
        await populate(rig.backend)
        export = await exporter(rig.backend).export()
        written = await rig.backend.txn((), [Put(TASK.key("t0"), b"")])
        await rig.compact(written.revision)
        with pytest.raises(Unavailable, match="run the backup again"):
            _ = [part async for part in exported(export)]

    run(scenario)


def test_a_key_of_another_cluster_or_time_writes_nothing(run: Run) -> None:
    async def scenario(rig: Rig) -> None:
        await populate(rig.backend)
        file = await backed_up(rig.backend)
        other = Keyring(bytes(32))
        with pytest.raises(InvalidInput, match=f"{KEYRING.key_id}.*{other.key_id}"):
            restoration(other).check(file)
        # During a rotation records may be encrypted with the previous key, so that both are needed.
        rotated = Keyring(other.current, KEYRING.current)
        assert restoration(rotated).check(file).header.cluster == "c1"
        during = io.BytesIO(
            b"".join([part.data async for part in exported(await exporter(rig.backend, rotated).export())])
        )
        assert restoration(rotated).check(during).header.key_id == other.key_id
        with pytest.raises(InvalidInput, match="authority"):
            restoration(other).check(during)

    run(scenario)


def test_a_damaged_file_writes_nothing(run: Run, tmp_path: Path) -> None:
    async def scenario(rig: Rig) -> None:
        full = MemoryEtcd()
        await populate(full)
        whole = (await backed_up(full)).getvalue()
        middle = len(whole) // 2
        changed = whole[:middle] + bytes([whole[middle] ^ 0x40]) + whole[middle + 1 :]
        for content in (b"", b"nonsense", whole[:middle], whole[:-3], changed, whole + b"x"):
            with pytest.raises(InvalidInput):
                await restored(io.BytesIO(content), rig.backend, restoration())
        assert await contents(rig.backend) == {}

    run(scenario)


def test_a_file_that_changes_after_its_check_becomes_no_cluster(run: Run) -> None:
    async def scenario(rig: Rig) -> None:
        full = MemoryEtcd()
        await populate(full)
        file, other = await backed_up(full), await backed_up(full)
        how = restoration()
        with pytest.raises(InvalidInput, match="changed while"):
            await how.write(rig.backend, other, how.check(file))
        assert CLUSTER.key("") not in await contents(rig.backend)

    run(scenario)
