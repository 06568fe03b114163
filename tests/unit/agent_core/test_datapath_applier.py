"""The datapath's wishes: many at once are few applications, and a container that waits is not kept waiting."""

import asyncio
from pathlib import Path

from agent.assignments.cluster_diff import ClusterDiff
from agent.journal.journal import Journal
from agent.worker.shared.datapath_applier import BATCH_SECONDS, RETRY_SECONDS, DatapathApplier
from agent.worker.shared.journal_writer import JournalWriter
from shoal.api.v1.dispatcher_pb2 import Peer
from shoal.errors import Unavailable
from tests.fakes.networks import FakeNetworks
from tests.fakes.virtual_time import run_virtual


def ignore(_: str) -> None:
    """The disk has room."""


def _peer(number: int) -> ClusterDiff:
    return ClusterDiff(peers={str(number): Peer(node_id=str(number))})


def test_wishes_in_a_row_are_joined_and_one_that_is_waited_for_is_not_put_off(tmp_path: Path) -> None:
    async def play() -> None:
        networks, journal = FakeNetworks(), Journal(tmp_path)
        journal.load()
        datapath = DatapathApplier(networks=networks, journal=JournalWriter(journal, ignore))
        running = asyncio.create_task(datapath.run())
        await datapath.request(_peer(1))
        await asyncio.sleep(0)
        for number in range(2, 51):
            await datapath.request(_peer(number))
            await asyncio.sleep(BATCH_SECONDS / 25)
        await asyncio.sleep(2 * BATCH_SECONDS)
        applied = [len(peers) for _, _, peers in networks.applied]
        assert applied[-1] == 50
        assert len(applied) <= 4
        await datapath.request(_peer(51))
        await datapath.request(_peer(52))
        begin = asyncio.get_running_loop().time()
        await datapath.wait_applied()
        assert asyncio.get_running_loop().time() == begin
        assert len(networks.applied[-1][2]) == 52
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    run_virtual(play())


def test_what_the_host_refused_is_asked_again_with_what_came_meanwhile_and_written_once(tmp_path: Path) -> None:
    async def play() -> None:
        networks, journal = FakeNetworks(), Journal(tmp_path)
        journal.load()
        datapath = DatapathApplier(networks=networks, journal=JournalWriter(journal, ignore))
        networks.apply_error = Unavailable("the kernel refused")
        running = asyncio.create_task(datapath.run())
        await datapath.start(_peer(1))
        await asyncio.sleep(RETRY_SECONDS / 2)
        await datapath.request(_peer(2))
        await datapath.request(ClusterDiff(peers={"1": None}))
        networks.apply_error = None
        await datapath.wait_applied()
        assert [peer.node_id for peer in networks.applied[-1][2]] == ["2"]
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        assert set(Journal(tmp_path).load().assigned.peers) == {"2"}

    run_virtual(play())
