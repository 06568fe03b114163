"""What the store promises, on etcd in memory and on a real one."""

import asyncio

import pytest

from manager.store import store as store_module
from manager.store.backend import Put
from manager.store.changes import ABSENT, PRESENT, Change, Write, delete, expect, put
from manager.store.kinds import LEADER, SERVICE, TASK
from manager.store.versioned_tables import UnreadableRecord
from shoal.api.v1.meta_pb2 import Meta
from shoal.api.v1.service_pb2 import Service, ServiceSpec
from shoal.api.v1.task_pb2 import Task
from shoal.errors import Conflict, InvalidInput, LeadershipLost, Timeout, Unavailable
from shoal.task_group import TaskGroup
from tests.contract.store.rig import Rig, Run, running_store
from tests.fakes.faulty_backend import FaultyBackend
from tests.polling import until


def task(number: int, *, attempt: int = 0) -> Task:
    return Task(id=f"t{number:05}", service_id="s", slot=number, attempt=attempt)


def put_tasks(*numbers: int, attempt: int = 0) -> list[Write]:
    return [put(TASK, f"t{number:05}", task(number, attempt=attempt)) for number in numbers]


def test_commit_is_in_the_tables_at_once_and_in_other_stores_soon(run: Run) -> None:
    async def scenario(rig: Rig) -> None:
        async with running_store(rig.backend) as one, running_store(rig.backend) as other:
            revision = await one.commit(put_tasks(1, 2))
            assert one.tables.tasks.keys() == {"t00001", "t00002"}
            assert one.version_of(TASK, "t00001") == revision == one.tables.revision
            await other.reached(revision)
            assert other.tables.tasks == one.tables.tasks
            assert other.version_of(TASK, "t00002") == revision

    run(scenario)


def test_the_version_is_set_in_meta_and_not_stored(run: Run) -> None:
    async def scenario(rig: Rig) -> None:
        async with running_store(rig.backend) as store:
            made = Service(meta=Meta(id="s", version=77), spec=ServiceSpec(name="web"))
            revision = await store.commit([put(SERVICE, "s", made)])
            assert made.meta.version == 77
            assert store.tables.services["s"].meta.version == revision
            stored = (await rig.backend.read([SERVICE.key("s")])).records[SERVICE.key("s")]
            assert Service.FromString(stored.value).meta.version == 0
        async with running_store(rig.backend) as fresh:
            assert fresh.tables.services["s"].meta.version == revision
            assert fresh.tables.service_named("web") == fresh.tables.services["s"]

    run(scenario)


def test_failed_expectation_names_the_record_and_writes_nothing(run: Run) -> None:
    async def scenario(rig: Rig) -> None:
        async with running_store(rig.backend) as store:
            first = await store.commit(put_tasks(1), expects=[expect(TASK, "t00001", ABSENT)])
            with pytest.raises(Conflict, match="task t00001 already exists"):
                await store.commit(put_tasks(1, 2), expects=[expect(TASK, "t00001", ABSENT)])
            second = await store.commit(put_tasks(1), expects=[expect(TASK, "t00001", first)])
            with pytest.raises(Conflict, match=f"expected version {first}, found {second}"):
                await store.commit(put_tasks(1), expects=[expect(TASK, "t00001", first)])
            with pytest.raises(Conflict, match="task t00009 no longer exists"):
                await store.commit(put_tasks(3), expects=[expect(TASK, "t00009", PRESENT)])
            assert await store.commit(put_tasks(3), expects=[expect(TASK, "t00001", PRESENT)]) > second
            assert store.tables.tasks.keys() == {"t00001", "t00003"}

    run(scenario)


def test_fence_refuses_a_deposed_leader(run: Run) -> None:
    async def scenario(rig: Rig) -> None:
        key = LEADER.key("")
        async with running_store(rig.backend) as store:
            fence = (await rig.backend.txn((), [Put(key, b"")])).revision
            await rig.backend.txn((), [Put(key, b"")])  # The create revision counts, not the modification.
            assert await store.commit(put_tasks(1), fence=fence) > fence
            with pytest.raises(LeadershipLost):
                await store.commit(put_tasks(2), fence=fence - 1)
            assert store.tables.tasks.keys() == {"t00001"}

    run(scenario)


def test_bounds_of_a_transaction(run: Run) -> None:
    async def scenario(rig: Rig) -> None:
        async with running_store(rig.backend) as store:
            with pytest.raises(InvalidInput, match="1001 writes"):
                await store.commit(put_tasks(*range(1001)))
            with pytest.raises(InvalidInput, match="twice"):
                await store.commit(put_tasks(1, 1))
            last = await store.commit_in_batches(put_tasks(*range(2500)))
            assert len(store.tables.tasks) == 2500
            assert store.version_of(TASK, "t02499") == last
            assert store.version_of(TASK, "t00000") == last - 2

    run(scenario)


def test_listing_in_pages_is_of_one_revision(run: Run) -> None:
    async def scenario(rig: Rig) -> None:
        async with running_store(rig.backend) as store:
            await store.commit(put_tasks(*range(10)))
        first = await rig.backend.range(b"/", b"0", limit=4)
        await rig.backend.txn((), [Put(TASK.key("t00008"), b"changed")])
        assert first.next_key is not None
        second = await rig.backend.range(first.next_key, b"0", revision=first.revision, limit=4)
        assert second.next_key is not None
        third = await rig.backend.range(second.next_key, b"0", revision=first.revision, limit=4)
        records = [*first.records, *second.records, *third.records]
        assert [record.key for record in records] == [TASK.key(f"t{number:05}") for number in range(10)]
        assert third.next_key is None
        assert {record.mod_revision for record in records} == {first.revision}

    run(scenario)


def test_followers_get_each_change_once_and_in_order(run: Run) -> None:
    async def scenario(rig: Rig) -> None:
        async with running_store(rig.backend) as one, running_store(rig.backend) as other:
            with one.follow() as own, other.follow() as foreign:
                for attempt in range(1, 6):
                    await one.commit(put_tasks(1, attempt=attempt))
                    await other.commit(put_tasks(2, attempt=attempt))
                await one.commit([delete(TASK, "t00001")])
                last = await other.commit([delete(TASK, "t00002"), delete(TASK, "never there")])
                await asyncio.gather(one.reached(last), other.reached(last))
                for subscription in (own, foreign):
                    _check_history(await anext(subscription))

    run(scenario)


def _check_history(changes: tuple[Change, ...]) -> None:
    for identifier in ("t00001", "t00002"):
        mine = [change for change in changes if change.identifier == identifier]
        states = [change.new.attempt if isinstance(change.new, Task) else None for change in mine]
        assert states == [1, 2, 3, 4, 5, None]
        assert [change.old for change in mine] == [None, *(change.new for change in mine[:-1])]
    assert len(changes) == 12


def test_concurrent_commits_of_one_record_agree_everywhere(run: Run) -> None:
    async def scenario(rig: Rig) -> None:
        async with running_store(rig.backend) as one, running_store(rig.backend) as other:
            revisions = await asyncio.gather(
                *(store.commit(put_tasks(7, attempt=n)) for n in range(20) for store in (one, other))
            )
            await asyncio.gather(one.reached(max(revisions)), other.reached(max(revisions)))
            assert one.tables.tasks["t00007"] == other.tables.tasks["t00007"]
            assert one.version_of(TASK, "t00007") == max(revisions)

    run(scenario)


def test_watch_resumes_where_it_broke(run: Run) -> None:
    async def scenario(rig: Rig) -> None:
        faulty = FaultyBackend(rig.backend)
        async with running_store(faulty) as reader, running_store(rig.backend) as writer:
            await reader.reached(await writer.commit(put_tasks(1)))
            pages = faulty.listed_pages
            with reader.follow() as changes:
                faulty.cut_watches()
                for attempt in range(1, 4):
                    last = await writer.commit(put_tasks(1, 2, attempt=attempt))
                faulty.mend_watches()
                await reader.reached(last)
                assert [change.identifier for change in await anext(changes)] == ["t00001", "t00002"] * 3
            assert faulty.listed_pages == pages

    run(scenario)


def test_after_compaction_a_new_listing_publishes_the_difference(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(rig: Rig) -> None:
        faulty = FaultyBackend(rig.backend)
        async with running_store(faulty) as reader, running_store(rig.backend) as writer:
            await reader.reached(await writer.commit(put_tasks(*range(20))))
            with reader.follow() as changes:
                faulty.cut_watches()
                await writer.commit(put_tasks(3, attempt=1))
                await writer.commit([delete(TASK, "t00004")])
                await reader.commit(put_tasks(5, attempt=1))
                await writer.commit(put_tasks(3, 30, attempt=2))
                last = await writer.commit([delete(TASK, "t00005")])
                await rig.compact(last)
                faulty.mend_watches()
                await reader.reached(last)
                reported = [(change.identifier, change.new is None) for change in await anext(changes)]
            assert reported[0] == ("t00005", False)
            assert sorted(reported[1:]) == [("t00003", False), ("t00004", True), ("t00005", True), ("t00030", False)]
            assert reader.tables.tasks == writer.tables.tasks
            last = await writer.commit(put_tasks(40))
            await reader.reached(last)
            assert "t00040" in reader.tables.tasks

    monkeypatch.setattr(store_module, "LIST_PAGE_RECORDS", 7)
    run(scenario)


def test_lost_answer_of_a_write_that_was_made(run: Run) -> None:
    async def scenario(rig: Rig) -> None:
        faulty = FaultyBackend(rig.backend)
        async with running_store(faulty) as store:
            faulty.lose_answer(made=True)
            revision = await store.commit(put_tasks(1, 2))
            assert store.version_of(TASK, "t00001") == revision
            found = (await rig.backend.read([TASK.key("t00001")])).records
            assert found[TASK.key("t00001")].mod_revision == revision
            faulty.lose_answer(made=True)
            await store.commit([delete(TASK, "t00001")])
            assert store.tables.tasks.keys() == {"t00002"}

    run(scenario)


def test_lost_answer_of_a_write_that_was_not_made(run: Run) -> None:
    async def scenario(rig: Rig) -> None:
        faulty = FaultyBackend(rig.backend)
        async with running_store(faulty) as store:
            await store.commit(put_tasks(1))
            for writes in (put_tasks(1), put_tasks(1, 2), [delete(TASK, "t00001")]):
                faulty.lose_answer(made=False)
                with pytest.raises(Timeout):
                    await store.commit(writes)
            assert store.tables.tasks.keys() == {"t00001"}

    run(scenario)


def test_damaged_record_stops_the_store(run: Run) -> None:
    async def scenario(rig: Rig) -> None:
        store = store_module.Store(backend=rig.backend)
        async with TaskGroup() as group:
            running = group.create_task(asyncio.wait({asyncio.ensure_future(store.run())}))
            await store.ready()
            await rig.backend.txn((), [Put(TASK.key("t00001"), b"\xff\xff\xff")])
            (ended,), _ = await running
        with pytest.raises(UnreadableRecord, match="/shoal/v1/tasks/t00001"):
            ended.result()

    run(scenario)


def test_keys_of_no_known_kind_are_left_alone(run: Run) -> None:
    async def scenario(rig: Rig) -> None:
        async with running_store(rig.backend) as store:
            await rig.backend.txn((), [Put(b"/shoal/v1/novelties/x", b"?"), Put(b"/shoal/v1/cluster2", b"?")])
            await store.reached(await store.commit(put_tasks(1)))
            assert store.tables.tasks.keys() == {"t00001"}
            assert store.tables.cluster is None

    run(scenario)


def test_lease_deletes_its_keys_when_revoked(run: Run) -> None:
    async def scenario(rig: Rig) -> None:
        async with running_store(rig.backend) as store:
            lease = await rig.backend.grant(10)
            await rig.backend.txn((), [Put(TASK.key("t00001"), task(1).SerializeToString(), lease)])
            await until(lambda: "t00001" in store.tables.tasks)
            assert await rig.backend.keep_alive(lease) == 10
            await rig.backend.revoke(lease)
            await until(lambda: "t00001" not in store.tables.tasks)
            assert await rig.backend.keep_alive(lease) == 0
            await rig.backend.revoke(lease)
            with pytest.raises(Unavailable, match="the etcd lease has expired"):
                await rig.backend.txn((), [Put(TASK.key("t00001"), b"", lease)])

    run(scenario)
