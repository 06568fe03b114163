"""What leadership promises, on etcd in memory and on a real one."""

import asyncio

import pytest

from manager.leadership.leader_probe import ConnectionAttempt
from manager.leadership.leadership import Leadership
from manager.store.backend import Put
from manager.store.changes import put
from manager.store.kinds import LEADER, MANAGER, TASK
from shoal.api.v1.cluster_pb2 import Leader, Manager
from shoal.api.v1.task_pb2 import Task
from shoal.errors import LeadershipLost, NotFound, Unavailable
from shoal.task_group import TaskGroup
from tests.contract.store.rig import Rig, Run, running_store
from tests.fakes.faulty_backend import FaultyBackend
from tests.polling import until


class Term:
    """A leader that does nothing, and notes its terms."""

    def __init__(self) -> None:
        self.fences: list[int] = []
        self.leading = False

    async def __call__(self, fence: int) -> None:
        self.fences.append(fence)
        self.leading = True
        try:
            await asyncio.Event().wait()
        finally:
            self.leading = False


def test_one_leads_and_the_next_follows_when_it_stops(run: Run) -> None:
    async def scenario(rig: Rig) -> None:
        first, second = Term(), Term()
        async with running_store(rig.backend) as store, TaskGroup() as group:
            leading = group.create_task(Leadership(store, rig.backend, "one").run(first))
            await until(lambda: first.leading)
            waiting = group.create_task(Leadership(store, rig.backend, "two").run(second))
            await until(lambda: store.tables.rows(LEADER)[""].manager_id == "one")
            leading.cancel()
            await until(lambda: second.leading)
            assert not first.leading
            assert second.fences[0] > first.fences[0]
            await store.commit([put(TASK, "t", Task(id="t"))], fence=second.fences[0])
            with pytest.raises(LeadershipLost):
                await store.commit([put(TASK, "t", Task(id="t"))], fence=first.fences[0])
            waiting.cancel()

    run(scenario)


def test_leader_knows_what_former_leaders_wrote(run: Run) -> None:
    async def scenario(rig: Rig) -> None:
        late = FaultyBackend(rig.backend)
        term = Term()
        async with running_store(rig.backend) as former, running_store(late) as store, TaskGroup() as group:
            late.cut_watches()
            await former.commit([put(TASK, "t", Task(id="t"))])
            leading = group.create_task(Leadership(store, late, "one").run(term))
            await until(lambda: former.tables.rows(LEADER))
            assert not term.leading
            late.mend_watches()
            await until(lambda: term.leading)
            assert "t" in store.tables.tasks
            leading.cancel()

    run(scenario)


def test_restarted_manager_takes_over_from_its_former_life_at_once(run: Run) -> None:
    async def scenario(rig: Rig) -> None:
        lease = await rig.backend.grant(600)
        key = LEADER.key("")
        former = await rig.backend.txn((), [Put(key, Leader(manager_id="one").SerializeToString(), lease)])
        term = Term()
        async with running_store(rig.backend) as store, TaskGroup() as group:
            leading = group.create_task(Leadership(store, rig.backend, "one").run(term))
            await until(lambda: term.leading)
            assert term.fences[0] > former.revision
            leading.cancel()

    run(scenario)


def test_a_leader_whose_process_has_ended_is_followed_at_once(run: Run) -> None:
    reaches = [ConnectionAttempt.REFUSED] * 3 + [ConnectionAttempt.CONNECTED] + [ConnectionAttempt.REFUSED] * 2
    asked: list[str] = []

    async def probe(address: str) -> ConnectionAttempt:
        asked.append(address)
        return reaches[len(asked) - 1]

    async def scenario(rig: Rig) -> None:
        lease = await rig.backend.grant(600)
        key, leading_manager = LEADER.key(""), Manager(id="one", api_address="192.0.2.1:7440")
        await rig.backend.txn((), [Put(MANAGER.key("one"), leading_manager.SerializeToString())])
        former = await rig.backend.txn((), [Put(key, Leader(manager_id="one").SerializeToString(), lease)])
        term = Term()
        async with running_store(rig.backend) as store, TaskGroup() as group:
            leading = group.create_task(Leadership(store, rig.backend, "two", probe=probe).run(term))
            await until(lambda: term.leading)
            assert term.fences[0] > former.revision
            assert asked == ["192.0.2.1:7440"] * len(reaches)
            leading.cancel()

    run(scenario)


def test_a_leader_whose_etcd_does_not_respond_has_another_manager_end_its_term(run: Run) -> None:
    async def scenario(rig: Rig) -> None:
        first, second = Term(), Term()
        async with running_store(rig.backend) as store, TaskGroup() as group:
            other = Leadership(store, rig.backend, "two")
            silent = asyncio.Event()

            async def transfer(lease: int) -> str:
                await silent.wait()
                silent.clear()
                await other.end_term("one", lease)
                return "two"

            leading = group.create_task(Leadership(store, rig.backend, "one", transfer=transfer).run(first))
            await until(lambda: first.leading)
            waiting = group.create_task(other.run(second))
            with pytest.raises(NotFound):
                await other.end_term("three", 1)
            silent.set()
            await until(lambda: second.leading and not first.leading)
            assert second.fences[0] > first.fences[0]
            leading.cancel()
            waiting.cancel()

    run(scenario)


def test_lost_lease_ends_the_term_and_another_begins(run: Run) -> None:
    async def scenario(rig: Rig) -> None:
        term = Term()
        async with running_store(rig.backend) as store, TaskGroup() as group:
            leading = group.create_task(Leadership(store, rig.backend, "one", ttl_seconds=1).run(term))
            await until(lambda: term.leading)
            held = (await rig.backend.read([LEADER.key("")])).records[LEADER.key("")]
            await rig.backend.revoke(held.lease)
            await until(lambda: len(term.fences) >= 2 and term.leading)
            assert term.fences[1] > term.fences[0]
            leading.cancel()

    run(scenario)


def test_error_of_the_leader_ends_the_candidature(run: Run) -> None:
    async def broken(fence: int) -> None:
        raise ZeroDivisionError

    async def scenario(rig: Rig) -> None:
        async with running_store(rig.backend) as store:
            with pytest.raises(ExceptionGroup) as raised:
                await Leadership(store, rig.backend, "one").run(broken)
            assert raised.group_contains(ZeroDivisionError)
            await until(lambda: not store.tables.rows(LEADER))

    run(scenario)


def test_deposed_leader_stands_again(run: Run) -> None:
    async def scenario(rig: Rig) -> None:
        fences: list[int] = []

        async def lost_once(fence: int) -> None:
            fences.append(fence)
            if len(fences) == 1:
                raise LeadershipLost("on purpose")
            await asyncio.Event().wait()

        async with running_store(rig.backend) as store, TaskGroup() as group:
            leading = group.create_task(Leadership(store, rig.backend, "one").run(lost_once))
            await until(lambda: len(fences) >= 2)
            leading.cancel()

    run(scenario)


def test_manager_is_registered_while_it_runs(run: Run) -> None:
    async def scenario(rig: Rig) -> None:
        async with running_store(rig.backend) as store, TaskGroup() as group:
            leadership = Leadership(store, rig.backend, "one")
            entry = group.create_task(
                leadership.register(lambda: Manager(id="one", api_address="192.0.2.1:4242"), asyncio.Event())
            )
            await until(lambda: "one" in store.tables.managers)
            assert store.tables.managers["one"].api_address == "192.0.2.1:4242"
            entry.cancel()
            await until(lambda: not store.tables.managers)

    run(scenario)


def test_a_manager_knows_that_its_registration_has_expired_and_is_not_renewed(run: Run) -> None:
    def is_registered(leadership: Leadership) -> bool:
        try:
            leadership.check_registered()
        except Unavailable:
            return False
        return True

    async def scenario(rig: Rig) -> None:
        backend = FaultyBackend(rig.backend)
        async with running_store(rig.backend) as store, TaskGroup() as group:
            leadership = Leadership(store, backend, "one", ttl_seconds=1)
            entry = group.create_task(
                leadership.register(lambda: Manager(id="one", api_address="192.0.2.1:4242"), asyncio.Event())
            )
            await until(lambda: "one" in store.tables.managers)
            assert is_registered(leadership)
            backend.leases_live = False
            await until(lambda: not is_registered(leadership))
            await until(lambda: not store.tables.managers)
            backend.leases_live = True
            await until(lambda: is_registered(leadership))
            await until(lambda: "one" in store.tables.managers)
            entry.cancel()

    run(scenario)
