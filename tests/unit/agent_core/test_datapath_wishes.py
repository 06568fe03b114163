"""The datapath's wishes: many at once are few applications, and a container that waits is not kept waiting."""

import asyncio
from pathlib import Path

from agent.journal.journal import Journal
from agent.worker.assigned import Assigned
from agent.worker.datapath import PAUSE_SECONDS, Datapath
from shoal.api.v1.dispatcher_pb2 import Peer
from tests.fakes.networks import FakeNetworks
from tests.fakes.virtual_time import run_virtual


def _peers(count: int) -> Assigned:
    return Assigned(peers={str(number): Peer(node_id=str(number)) for number in range(count)})


def test_wishes_in_a_row_are_joined_and_one_that_is_waited_for_is_not_put_off(tmp_path: Path) -> None:
    async def play() -> None:
        networks, journal = FakeNetworks(), Journal(tmp_path)
        journal.load()
        datapath = Datapath(networks=networks, journal=journal)
        running = asyncio.create_task(datapath.run())
        await datapath.wish(_peers(1))
        await asyncio.sleep(0)
        for number in range(2, 51):
            await datapath.wish(_peers(number))
            await asyncio.sleep(PAUSE_SECONDS / 25)
        await asyncio.sleep(2 * PAUSE_SECONDS)
        applied = [len(peers) for _, _, peers in networks.applied]
        assert applied[-1] == 50
        assert len(applied) <= 4
        await datapath.wish(_peers(51))
        await datapath.wish(_peers(52))
        begin = asyncio.get_running_loop().time()
        await datapath.applied()
        assert asyncio.get_running_loop().time() == begin
        assert len(networks.applied[-1][2]) == 52
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    run_virtual(play())
