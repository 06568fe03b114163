"""Events that survive a manager: kept in batches by the leader, read by any manager, bounded in time and size."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest

from manager.events.event_archiver import FLUSH_SECONDS, GAP_ATTEMPTS, INTERVAL_SECONDS, EventArchiver, ReadFromPeers
from manager.events.event_log import EventLog
from manager.events.recent_changes import RecentChanges
from manager.store import kinds
from manager.store.backend import Compare, Delete, Put, RequestTooLarge, TxnResult, prefix_end
from manager.store.event_archive import CHUNK_BYTES, CHUNK_MS, PREFIX, RETENTION_MS, EventArchive
from manager.store.store import Store
from shoal import ids
from shoal.api.v1.cluster_pb2 import Leader
from shoal.api.v1.control_pb2 import CreateServiceRequest, WatchEventsRequest
from shoal.api.v1.event_pb2 import Event
from shoal.errors import LeadershipLost, NotFound, Unavailable
from shoal.task_group import TaskGroup
from tests.fakes.loaded_store import loaded_store
from tests.fakes.memory_etcd import MemoryEtcd
from tests.fakes.virtual_time import run_virtual
from tests.unit.manager_api.control_rig import ADMIN, Api, spec_of

BEGIN_MS = 1_700_000_000_000


def now_ms() -> int:
    return BEGIN_MS + int(asyncio.get_running_loop().time() * 1000)


async def elect(etcd: MemoryEtcd) -> int:
    """Another term; its number."""
    await etcd.txn((), [Delete(kinds.LEADER.key(""))])
    return (await etcd.txn((), [Put(kinds.LEADER.key(""), Leader(manager_id="m").SerializeToString())])).revision


async def nobody(since_ms: int, until_ms: int) -> Sequence[Event]:
    raise NotFound("there are no other managers")


@dataclass
class Manager:
    """One manager's memory of events and, while it leads, its writer."""

    etcd: MemoryEtcd
    store: Store
    group: TaskGroup
    kept: int = 1000
    running: list["asyncio.Task[None]"] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.api = Api(self.store, prefix=f"{self.store.tables.revision}x")
        self.events = EventLog(
            store=self.store, now_ms=now_ms, archive=EventArchive(self.etcd), changes=RecentChanges(capacity=self.kept)
        )
        self.running.append(self.group.create_task(self.events.run()))

    async def lead(self, ask_others: ReadFromPeers = nobody) -> "asyncio.Task[None]":
        fence = await elect(self.etcd)
        archive = EventArchive(self.etcd)
        writer = EventArchiver(events=self.events, archive=archive, read_from_peers=ask_others, now_ms=now_ms)
        self.running.append(asyncio.create_task(writer.run(fence)))
        await asyncio.sleep(0.001)
        return self.running[-1]

    async def remembered(self, since_ms: int, until_ms: int) -> Sequence[Event]:
        """What another manager gets when it asks this one."""
        return [event async for events in self.events.between(since_ms, until_ms) for event in events]

    async def create(self, *names: str) -> None:
        for name in names:
            await self.api.services.create(CreateServiceRequest(spec=spec_of(name)), ADMIN)
            await asyncio.sleep(0.01)

    async def reported(self, since_ms: int = BEGIN_MS) -> tuple[list[str], str]:
        """Names of the services of all events up to now, and the warnings."""
        await asyncio.sleep(0.01)
        request = WatchEventsRequest(since_ms=since_ms, until_ms=now_ms(), types=["service"])
        responses = [response async for response in self.events.watch(request, ADMIN)]
        names = [response.event.name for response in responses if response.HasField("event")]
        return names, "; ".join(response.warning for response in responses if response.HasField("warning"))


@asynccontextmanager
async def manager(etcd: MemoryEtcd, kept: int = 1000) -> AsyncGenerator[Manager]:
    """A manager's life; at its end its store is gone as well."""
    async with loaded_store(etcd) as store, TaskGroup() as group:
        made = Manager(etcd, store, group, kept)
        await asyncio.sleep(0.01)
        try:
            yield made
        finally:
            for task in made.running:
                task.cancel()
            await asyncio.gather(*made.running, return_exceptions=True)


def play(scenario: Callable[[MemoryEtcd], Awaitable[None]]) -> None:
    async def run() -> None:
        await scenario(MemoryEtcd())

    run_virtual(run())


async def chunks(etcd: MemoryEtcd) -> list[tuple[bytes, int]]:
    page = await etcd.range(PREFIX.encode(), prefix_end(PREFIX.encode()))
    return [(record.key, len(record.value)) for record in page.records]


def test_events_are_told_after_a_restart_and_by_other_managers() -> None:
    async def scenario(etcd: MemoryEtcd) -> None:
        await asyncio.sleep(1)
        async with manager(etcd) as first:
            await first.lead()
            await first.create("a", "b")
            await asyncio.sleep(INTERVAL_SECONDS + 1)
            await first.create("c")
            async with manager(etcd) as other:
                assert await other.reported() == (["a", "b"], ""), "the last few seconds are on their way"
                await asyncio.sleep(INTERVAL_SECONDS + 1)
                assert await other.reported() == (["a", "b", "c"], "")
            await first.create("d")
        async with manager(etcd) as again:
            assert await again.reported() == (["a", "b", "c", "d"], ""), "who ends keeps what it has"
            assert (await again.reported(now_ms() - 1))[0] == []
            await again.create("e")
            assert await again.reported() == (["a", "b", "c", "d", "e"], "")

    play(scenario)


@pytest.mark.parametrize("later_ms", [0, -3_600_000])
def test_a_chunk_replaces_no_other_whatever_the_times_of_its_events(later_ms: int) -> None:
    async def scenario(etcd: MemoryEtcd) -> None:
        archive, fence = EventArchive(etcd), await elect(etcd)
        await archive.load()
        names = ["a" * CHUNK_BYTES, "b" * CHUNK_BYTES, "c"]
        for number, name in enumerate(names):
            event = Event(type="service", name=name, at_ms=BEGIN_MS + number * later_ms)
            await archive.append([event], 0, fence=fence, now_ms=BEGIN_MS)
        assert [event.name async for chunk in archive.read(0) for event in chunk.events] == names

    play(scenario)


class SmallRequests(MemoryEtcd):
    """Accepts no large requests of events."""

    async def txn(self, compares: Sequence[Compare], operations: Sequence[Put | Delete]) -> TxnResult:
        if any(
            isinstance(each, Put) and each.key.startswith(PREFIX.encode()) and len(each.value) > 50_000
            for each in operations
        ):
            raise RequestTooLarge("request is too large")
        return await super().txn(compares, operations)


def test_events_that_are_too_many_for_one_request_are_archived_in_parts() -> None:
    async def scenario() -> None:
        etcd, names = SmallRequests(), ["-".join(ids.new_id() for _ in range(8)) for _ in range(800)]

        async def from_others(since_ms: int, until_ms: int) -> Sequence[Event]:
            return [Event(type="service", action="create", name=name, at_ms=since_ms) for name in names]

        await asyncio.sleep(1)
        async with manager(etcd) as first:
            await first.lead(from_others)
            await asyncio.sleep(20 * INTERVAL_SECONDS)
            assert [event.name async for chunk in EventArchive(etcd).read(0) for event in chunk.events] == names

    run_virtual(scenario())


def test_of_a_large_event_the_attributes_are_left_out() -> None:
    async def scenario(etcd: MemoryEtcd) -> None:
        async def from_others(since_ms: int, until_ms: int) -> Sequence[Event]:
            return [
                Event(type="service", action="die", name=name, at_ms=since_ms, attributes={"l": name * size})
                for name, size in (("a", 9), ("b", 1 << 20))
            ]

        await asyncio.sleep(1)
        async with manager(etcd) as first:
            await first.lead(from_others)
            await asyncio.sleep(2 * INTERVAL_SECONDS)
            found = [event async for chunk in EventArchive(etcd).read(0) for event in chunk.events]
            assert [dict(each.attributes) for each in found] == [{"l": "a" * 9}, {}]

    play(scenario)


@pytest.mark.parametrize(("seconds", "kept"), [(0.9 * FLUSH_SECONDS, ["a"]), (1.1 * FLUSH_SECONDS, [])])
def test_who_ends_waits_for_an_etcd_that_is_slow_but_not_for_long(seconds: float, kept: list[str]) -> None:
    async def scenario(etcd: MemoryEtcd) -> None:
        await asyncio.sleep(1)
        async with manager(etcd) as first:
            leading = await first.lead()
            await first.create("a")
            etcd.slow = PREFIX.encode()
            leading.cancel()
            await asyncio.sleep(seconds)
            etcd.release()
            await asyncio.wait([leading])
        async with manager(etcd) as again:
            assert (await again.reported())[0] == kept

    play(scenario)


def test_what_cannot_be_read_is_told_of_and_ends_no_leader() -> None:
    async def scenario(etcd: MemoryEtcd) -> None:
        await asyncio.sleep(1)
        async with manager(etcd) as first:
            await first.lead()
            await first.create("a")
        ((key, _),) = await chunks(etcd)
        await etcd.txn((), [Put(key, b"of another version")])
        async with manager(etcd) as second:
            await second.lead()
            await second.create("b")
            async with manager(etcd) as other:
                await asyncio.sleep(INTERVAL_SECONDS + 1)
                names, warnings = await other.reported()
                assert names == ["b"] and "1 changes are missing" in warnings

    play(scenario)


def test_the_next_leader_goes_on_where_the_last_one_stopped() -> None:
    async def scenario(etcd: MemoryEtcd) -> None:
        await asyncio.sleep(1)
        async with manager(etcd) as first, manager(etcd) as second:
            writing = await first.lead()
            await first.create("a")
            await asyncio.sleep(INTERVAL_SECONDS + 1)
            await first.create("b")
            await second.lead()
            await first.create("c")
            with pytest.raises(LeadershipLost):
                await writing
            await asyncio.sleep(INTERVAL_SECONDS + 1)
            async with manager(etcd) as third:
                assert await third.reported() == (["a", "b", "c"], "")

    play(scenario)


async def killed_leader_that_has_kept_a(other: Manager) -> None:
    """Its last events are in no archive, and what comes now nobody keeps."""
    async with manager(other.etcd) as first:
        await first.lead()
        await first.create("a")
        await asyncio.sleep(INTERVAL_SECONDS + 1)
        await first.create("b")
        await elect(other.etcd)
    await other.create("c")


def test_a_leader_that_was_killed_and_leads_again_learns_from_others_what_it_did_not_see() -> None:
    """Also where they remember what is kept, and what the new leader has seen as well."""

    async def scenario(etcd: MemoryEtcd) -> None:
        await asyncio.sleep(1)
        async with manager(etcd) as other:
            await killed_leader_that_has_kept_a(other)
            async with manager(etcd) as again:
                await again.lead(other.remembered)
                await other.create("d")
                await asyncio.sleep(INTERVAL_SECONDS + 1)
                assert await again.reported() == (["a", "b", "c", "d"], "") == await other.reported()

    play(scenario)


@pytest.mark.parametrize("answers_at", [GAP_ATTEMPTS, GAP_ATTEMPTS + 1])
def test_others_are_asked_again_and_not_for_ever(answers_at: int) -> None:
    asked = 0

    async def scenario(etcd: MemoryEtcd) -> None:
        await asyncio.sleep(1)
        async with manager(etcd) as other:
            await killed_leader_that_has_kept_a(other)

            async def ask(since_ms: int, until_ms: int) -> Sequence[Event]:
                nonlocal asked
                asked += 1
                if asked < answers_at:
                    raise Unavailable("no other manager answers")
                return await other.remembered(since_ms, until_ms)

            async with manager(etcd) as again:
                await again.lead(ask)
                await other.create("d")
                await asyncio.sleep((GAP_ATTEMPTS + 1) * INTERVAL_SECONDS)
                assert asked == GAP_ATTEMPTS
                between = ["b", "c"] if answers_at == GAP_ATTEMPTS else []
                assert await again.reported() == (["a", *between, "d"], "")

    play(scenario)


def test_what_others_remember_is_kept_once_etcd_is_there_again() -> None:
    async def scenario(etcd: MemoryEtcd) -> None:
        await asyncio.sleep(1)
        async with manager(etcd) as other:
            await killed_leader_that_has_kept_a(other)
            async with manager(etcd) as again:
                await again.lead(other.remembered)
                etcd.away = True
                await asyncio.sleep(3 * INTERVAL_SECONDS)
                etcd.away = False
                await asyncio.sleep(2 * INTERVAL_SECONDS)
                assert await again.reported() == (["a", "b", "c"], "")

    play(scenario)


def test_a_memory_is_asked_for_a_period_while_it_forgets() -> None:
    async def scenario(etcd: MemoryEtcd) -> None:
        await asyncio.sleep(1)
        async with manager(etcd, kept=600) as one:
            await one.create(*(f"{number}" for number in range(601)))
            pieces = one.events.between(1, now_ms() + 1000)
            names = [event.name for event in await anext(pieces)]
            await one.create("last")
            names += [event.name async for events in pieces for event in events]
            assert len(names) == len(set(names)) and names[-1] == "last" and len(names) in (600, 601), len(names)
            assert await one.remembered(now_ms(), now_ms() + 1000) == []

    play(scenario)


def test_nothing_is_lost_or_told_twice_while_etcd_is_away() -> None:
    async def scenario(etcd: MemoryEtcd) -> None:
        await asyncio.sleep(1)
        async with manager(etcd) as first:
            await first.lead()
            await first.create("a", "b")
            etcd.away = True
            await asyncio.sleep(3 * INTERVAL_SECONDS)
            unread = "cannot read events from before this manager started: etcd is unavailable"
            assert await first.reported() == (["a", "b"], unread)
            etcd.away = False
            await asyncio.sleep(2 * INTERVAL_SECONDS)
            async with manager(etcd) as second:
                assert await second.reported() == (["a", "b"], "")

    play(scenario)


def test_what_came_faster_than_a_manager_remembers_is_told_as_missing() -> None:
    async def scenario(etcd: MemoryEtcd) -> None:
        await asyncio.sleep(1)
        async with manager(etcd, kept=3) as first:
            await first.lead()
            await first.create("a", "b", "c", "d", "e")
            await asyncio.sleep(INTERVAL_SECONDS + 1)
            async with manager(etcd) as second:
                assert await second.reported() == (
                    ["c", "d", "e"],
                    "2 changes are missing: they arrived faster than events are archived",
                )

    play(scenario)


def test_a_day_is_kept_and_no_more() -> None:
    async def scenario(etcd: MemoryEtcd) -> None:
        archive, fence = EventArchive(etcd), await elect(etcd)
        await archive.load()
        for hour in range(60):
            at_ms = BEGIN_MS + hour * 3_600_000
            await archive.append([Event(name=f"{hour}", at_ms=at_ms)], 0, fence=fence, now_ms=at_ms)
        kept = [int(event.name) async for chunk in archive.read(0) for event in chunk.events]
        assert kept == list(range(59 - RETENTION_MS // 3_600_000, 60))
        assert all(not chunk.complete_since_ms for chunk in [chunk async for chunk in archive.read(0)])

    play(scenario)


def test_the_bound_on_size_holds_and_the_oldest_go_first() -> None:
    """However many events there are: bytes in etcd, and chunks."""

    async def scenario(etcd: MemoryEtcd) -> None:
        most, fence = 1 << 20, await elect(etcd)
        archive = EventArchive(etcd, max_bytes=most)
        await archive.load()
        for batch in range(400):
            events = [
                Event(name=f"{batch}", at_ms=BEGIN_MS + batch * 1000, message=f"{batch * 7919 + place}" * 40)
                for place in range(60)
            ]
            await archive.append(events, 0, fence=fence, now_ms=BEGIN_MS + batch * 1000)
        lies = await chunks(etcd)
        assert sum(size for _, size in lies) <= most and len(lies) <= 400
        small = EventArchive(etcd, max_bytes=100_000)
        assert await small.load() == BEGIN_MS + 399_000
        await small.append([Event(name="last", at_ms=BEGIN_MS + 400_000)], 0, fence=fence, now_ms=BEGIN_MS + 400_000)
        for batch in range(20):  # a transaction deletes a bounded number of them
            at_ms = BEGIN_MS + 401_000 + batch
            await small.append([Event(name="more", at_ms=at_ms)], 0, fence=fence, now_ms=at_ms)
        assert sum(size for _, size in await chunks(etcd)) <= 100_000
        read = [chunk async for chunk in small.read(0)]
        assert read[-1].events[-1].name == "more" and read[-1].complete_since_ms > BEGIN_MS

    play(scenario)


def test_a_trickle_fills_few_keys() -> None:
    """An event every five seconds for six hours: a chunk for ten minutes of it, at most."""

    async def scenario(etcd: MemoryEtcd) -> None:
        archive, fence = EventArchive(etcd), await elect(etcd)
        await archive.load()
        hours = 6 * 3_600_000
        for at_ms in range(BEGIN_MS, BEGIN_MS + hours, 30_000):
            await archive.append([Event(name="x", at_ms=at_ms)], 0, fence=fence, now_ms=at_ms)
        assert len(await chunks(etcd)) <= hours // CHUNK_MS + 1
        since = BEGIN_MS + hours - 60_000
        read = [event.at_ms async for chunk in archive.read(since) for event in chunk.events]
        assert [at_ms for at_ms in read if at_ms >= since] == [since, since + 30_000]
        assert len(read) <= 3 * CHUNK_MS // 30_000, "what is older is not read"

    play(scenario)
