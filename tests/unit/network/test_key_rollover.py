"""The keeper of tunnels: it looks until all is settled, and tells each change of keys once."""

import asyncio
from contextlib import suppress
from typing import cast

from agent.network.encryption.encrypted_tunnels import EncryptedTunnels
from agent.network.encryption.key_rollover import MAX_CHECKS, KeyRollover
from shoal.api.v1.node_pb2 import OverlayKey
from tests.fakes.virtual_time import run_virtual


class SettlingTunnels:
    """Settled after so many looks."""

    def __init__(self, looks: int) -> None:
        self.keys: tuple[OverlayKey, ...] = (OverlayKey(generation=1),)
        self.is_settled = False
        self.looks = 0
        self._needed = looks

    async def reconcile(self) -> list[str]:
        self.looks += 1
        self.is_settled = self.looks >= self._needed
        return []


async def kept(tunnels: SettlingTunnels, seconds: float) -> list[int]:
    """The generations told while a keeper works so long."""
    reconciler = KeyRollover(tunnels=cast(EncryptedTunnels, tunnels), reconcile=tunnels.reconcile)
    reported: list[int] = []

    async def listen() -> None:
        async for _ in reconciler.changes():
            reported.append(sum(key.generation for key in reconciler.public_keys))  # noqa: PERF401  (told is read while this runs)

    working = [asyncio.ensure_future(listen()), asyncio.ensure_future(reconciler.run())]
    await asyncio.sleep(0)
    reconciler.on_applied()
    await asyncio.sleep(seconds / 2)
    reconciler.on_applied()
    tunnels.keys = (*tunnels.keys, OverlayKey(generation=2))
    reconciler.on_applied()
    await asyncio.sleep(seconds / 2)
    assert [key.generation for key in reconciler.public_keys] == [1, 2]
    for each in working:
        each.cancel()
        with suppress(asyncio.CancelledError):
            await each
    return reported


def test_it_looks_until_all_is_settled_and_tells_each_change_once() -> None:
    tunnels = SettlingTunnels(looks=7)
    assert run_virtual(kept(tunnels, 1000)) == [1, 3]
    assert tunnels.looks == 7


def test_it_does_not_look_for_ever_for_a_node_that_is_away() -> None:
    tunnels = SettlingTunnels(looks=100_000)
    run_virtual(kept(tunnels, 1000))
    assert tunnels.looks == 2 * MAX_CHECKS
