"""Whether packets as large as the overlay's pass to every other node: asked seldom, told when they twice did not."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from agent.network.netlink.messages import Address
from shoal.api.v1.node_pb2 import PathFault
from shoal.task_group import TaskGroup

FIRST_SECONDS = 10.0
"""After a node is first told of: it has to be told of this one, too."""
AGAIN_SECONDS = 20.0
"""After a path was found bad, whether it is told already or not."""
PERIOD_SECONDS = 600.0
"""Of good paths. A node of a thousand others sends two or three packets a second."""
TICK_SECONDS = 5.0
MOST_AT_ONCE = 16
MOST_FAULTS = 50
"""That are told; a node that has more has the same with all."""


@dataclass
class _Known:
    mac: str
    due: float
    found: PathFault | None = None
    told: bool = False


class PathBook:
    """Which paths are due, and which are bad. Times are of any steady clock, seconds."""

    def __init__(self) -> None:
        self._paths: dict[Address, _Known] = {}

    def follow(self, peers: Mapping[Address, str], now: float) -> None:
        """These are the nodes that the overlay leads to, with the MAC addresses of their tunnels' ends."""
        for gone in self._paths.keys() - peers.keys():
            del self._paths[gone]
        for address, mac in peers.items():
            known = self._paths.setdefault(address, _Known(mac, now + FIRST_SECONDS))
            known.mac = mac

    def due(self, now: float) -> list[tuple[Address, str]]:
        """Those to be asked now, the longest due first."""
        ordered = sorted((each.due, str(address), address) for address, each in self._paths.items() if each.due <= now)
        return [(address, self._paths[address].mac) for _, _, address in ordered[:MOST_AT_ONCE]]

    def take(self, address: Address, found: PathFault | None, now: float) -> None:
        """What was found; None for a good path, or one of which nothing can be said."""
        if (known := self._paths.get(address)) is None:
            return
        known.told = found is not None and known.found is not None
        known.found = found
        known.due = now + (PERIOD_SECONDS if found is None else AGAIN_SECONDS)

    def faults(self) -> list[PathFault]:
        """Of paths that were bad the last two times, by their addresses."""
        bad = (each.found for each in self._paths.values() if each.told and each.found is not None)
        return sorted(bad, key=lambda fault: fault.address)[:MOST_FAULTS]


class PathWatch:
    """For the event loop.

    Args:
        peers: the nodes that the overlay leads to, with the MAC addresses of their tunnels' ends.
        look: asks along one path; None where it is as it should be.
        note: takes the paths that are bad.
    """

    def __init__(
        self,
        *,
        peers: Callable[[], Awaitable[Mapping[Address, str]]],
        look: Callable[[Address, str], Awaitable[PathFault | None]],
        note: Callable[[Sequence[PathFault]], None],
    ) -> None:
        self._peers = peers
        self._look = look
        self._note = note
        self._book = PathBook()

    async def run(self) -> None:
        """Without end."""
        clock = asyncio.get_running_loop().time
        while True:
            await asyncio.sleep(TICK_SECONDS)
            self._book.follow(await self._peers(), clock())
            await self._ask(self._book.due(clock()))
            self._note(self._book.faults())

    async def _ask(self, due: Iterable[tuple[Address, str]]) -> None:
        async def one(address: Address, mac: str) -> None:
            self._book.take(address, await self._look(address, mac), asyncio.get_running_loop().time())

        async with TaskGroup() as group:
            for address, mac in due:
                group.create_task(one(address, mac), name=f"path to {address}")
