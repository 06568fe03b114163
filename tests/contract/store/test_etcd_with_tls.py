"""An etcd cluster of someone else: mutual TLS, each member verified by its own name, a member killed or frozen."""

import asyncio
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from manager.etcd.client import Etcd
from manager.etcd.members import cluster_members
from manager.store.backend import Put
from manager.store.changes import put
from manager.store.kinds import TASK
from shoal.api.v1.task_pb2 import Task
from shoal.errors import Unavailable
from shoal.task_group import TaskGroup
from tests.contract.store.etcd_cluster import Authority, Member, etcd_cluster
from tests.contract.store.rig import running_store
from tests.contract.store.writers import Collecting, Writer, check, commit_at_the_end, every_writer_gets_on

HOSTS = ("127.0.0.1", "localhost", "::1")
"""A certificate each, for this name or address alone."""


def endpoints(members: list[Member]) -> list[str]:
    return [member.endpoint for member in members]


@pytest.mark.parametrize("host", HOSTS)
def test_store_runs_over_mutual_tls(tmp_path: Path, host: str) -> None:
    async def scenario(members: list[Member]) -> None:
        async with (
            asyncio.timeout(60),
            cluster_members(endpoints(members), authority.issue("client", "client")) as connected,
            running_store(Etcd(members=connected)) as store,
        ):
            revision = await store.commit([put(TASK, "t", Task(id="t"))])
            await store.reached(revision)

    authority = Authority(tmp_path)
    with etcd_cluster(tmp_path, [host], authority) as members:
        asyncio.run(scenario(members))


def test_the_name_of_all_certificates_may_be_given(tmp_path: Path) -> None:
    async def scenario(members: list[Member]) -> None:
        right = authority.issue("client", "client", server_name="etcd.test")
        async with asyncio.timeout(60), cluster_members(endpoints(members), right) as connected:
            await Etcd(members=connected).read([b"a"])
        wrong = authority.issue("client", "client")
        async with cluster_members(endpoints(members), wrong) as connected:
            with pytest.raises(Unavailable, match=r"127\.0\.0\.1:\d+: .*Hostname Verification Check failed"):
                await Etcd(members=connected, deadline_seconds=3).read([b"a"])

    authority = Authority(tmp_path)
    with etcd_cluster(tmp_path, ["127.0.0.1", "127.0.0.1"], authority, named="etcd.test") as members:
        asyncio.run(scenario(members))


def test_client_without_certificate_gets_nothing(tmp_path: Path) -> None:
    async def scenario(members: list[Member]) -> None:
        async with cluster_members(endpoints(members), None) as connected:
            with pytest.raises(Unavailable):
                await Etcd(members=connected, deadline_seconds=1).read([b"a"])

    with etcd_cluster(tmp_path, ["127.0.0.1"], Authority(tmp_path)) as members:
        asyncio.run(scenario(members))


def kill(member: Member) -> None:
    member.send(signal.SIGKILL)
    member.process.wait()


def freeze(member: Member) -> None:
    """It holds its connections and says nothing."""
    member.send(signal.SIGSTOP)


@pytest.mark.parametrize("harm", [kill, freeze])
@pytest.mark.parametrize("harmed", range(3))
def test_member_is_lost_in_the_midst_of_writes_and_watches(
    tmp_path: Path, harmed: int, harm: Callable[[Member], None]
) -> None:
    async def scenario(members: list[Member]) -> None:
        tls = authority.issue("client", "client")
        writers = [Writer(f"w{number}") for number in range(4)]
        async with (
            cluster_members(endpoints(members), tls) as ours,
            cluster_members(endpoints(members), tls) as theirs,
            running_store(Etcd(members=ours, deadline_seconds=2)) as store,
            running_store(Etcd(members=theirs, deadline_seconds=2)) as reader,
            Collecting(store) as own,
            Collecting(reader) as foreign,
        ):
            stop = asyncio.Event()
            async with TaskGroup() as group:
                for writer in writers:
                    group.create_task(writer.run(store, stop))
                await every_writer_gets_on(writers)
                harm(members[harmed])
                await every_writer_gets_on(writers)
                stop.set()
            last = await commit_at_the_end(store)
            await asyncio.gather(store.reached(last), reader.reached(last))
            await asyncio.gather(own.has("end"), foreign.has("end"))
            for writer in writers:
                check(writer, own[writer.identifier])
                check(writer, foreign[writer.identifier])
            assert reader.tables.tasks == store.tables.tasks

    async def limited(members: list[Member]) -> None:
        async with asyncio.timeout(150):
            await scenario(members)

    authority = Authority(tmp_path)
    with etcd_cluster(tmp_path, HOSTS, authority) as members:
        asyncio.run(limited(members))


def test_the_watch_leaves_a_member_that_does_not_answer(tmp_path: Path) -> None:
    async def scenario(members: list[Member]) -> None:
        async with asyncio.timeout(60), cluster_members(endpoints(members), None) as connected:
            etcd, (first, second) = Etcd(members=connected), connected
            await asyncio.gather(first.channel.channel_ready(), second.channel.channel_ready())
            second.avoid_until = asyncio.get_running_loop().time() + 60
            revision = (await etcd.read([b"a"])).revision
            watch = etcd.watch(b"a", b"b", revision=revision + 1)
            following = asyncio.ensure_future(anext(watch))
            await etcd.txn((), [Put(b"a", b"1")])
            assert (await following).events
            following = asyncio.ensure_future(anext(watch))
            await asyncio.sleep(1)
            first.mark_failed()
            await asyncio.sleep(1)
            assert not following.done()  # the other one is no better
            second.avoid_until = 0.0
            with pytest.raises(Unavailable, match="watching another one"):
                await following

    with etcd_cluster(tmp_path, ["127.0.0.1", "127.0.0.1"], None) as members:
        asyncio.run(scenario(members))


def test_the_leading_member_passes_that_on_before_it_is_defragmented(tmp_path: Path) -> None:
    async def scenario(members: list[Member]) -> None:
        async with cluster_members(endpoints(members), None) as connected:
            etcd = Etcd(members=connected)
            await etcd.txn((), [Put(b"/shoal/v1/a", b"1")])
            before = [each.is_leader for each in await etcd.maintenance.status()]
            assert before.count(True) == 1
            after = [each.is_leader for each in await etcd.maintenance.compact()]
            assert after.count(True) == 1 and after != before

    with etcd_cluster(tmp_path, ["127.0.0.1", "127.0.0.1"], None) as members:
        asyncio.run(scenario(members))


def test_endpoints_may_be_away_and_unknown(tmp_path: Path) -> None:
    async def scenario(members: list[Member]) -> None:
        addresses = ["nowhere.invalid:2379", "127.0.0.1:1", *endpoints(members)]
        async with asyncio.timeout(60), cluster_members(addresses, None) as connected:
            etcd = Etcd(members=connected)
            await etcd.read([b"a"])
            *away, there = await etcd.maintenance.status()
            assert all(each.problem for each in away)
            assert there.version and not there.problem

    with etcd_cluster(tmp_path, ["127.0.0.1"], None) as members:
        asyncio.run(scenario(members))


def test_an_unreadable_key_is_reported(tmp_path: Path) -> None:
    tls = Authority(tmp_path).issue("client", "client")
    tls.key.unlink()
    with pytest.raises(Unavailable, match=r"cannot read .*client\.key"):
        cluster_members(["127.0.0.1:1"], tls)
