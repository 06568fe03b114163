"""Periodically checks that full-size packets reach every other node; reports a path that fails twice."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from agent.network.netlink.rtnetlink import Address
from shoal.api.v1.node_pb2 import PathFault
from shoal.task_group import TaskGroup

FIRST_CHECK_SECONDS = 10.0
"""After a node is first told of: it has to be told of this one, too."""
RECHECK_SECONDS = 20.0
"""After a path was found bad, whether it is told already or not."""
PERIOD_SECONDS = 600.0
"""Of good paths. A node of a thousand others sends two or three packets a second."""
TICK_SECONDS = 5.0
MAX_CONCURRENT = 16
MAX_FAULTS = 50
"""That are told; a node that has more has the same with all."""


@dataclass
class _CheckedPath:
    mac: str
    due: float
    fault: PathFault | None = None
    confirmed: bool = False


class PathSchedule:
    """Which paths are due, and which are bad. Times are of any steady clock, seconds."""

    def __init__(self) -> None:
        self._paths: dict[Address, _CheckedPath] = {}

    def set_peers(self, peers: Mapping[Address, str], now: float) -> None:
        """These are the nodes that the overlay leads to, with the MAC addresses of their tunnels' ends."""
        for gone in self._paths.keys() - peers.keys():
            del self._paths[gone]
        for address, mac in peers.items():
            known = self._paths.setdefault(address, _CheckedPath(mac, now + FIRST_CHECK_SECONDS))
            known.mac = mac

    def due(self, now: float) -> list[tuple[Address, str]]:
        """Those to be asked now, the longest due first."""
        ordered = sorted((each.due, str(address), address) for address, each in self._paths.items() if each.due <= now)
        return [(address, self._paths[address].mac) for _, _, address in ordered[:MAX_CONCURRENT]]

    def record(self, address: Address, fault: PathFault | None, now: float) -> None:
        """What was found; None for a good path, or one of which nothing can be said."""
        if (known := self._paths.get(address)) is None:
            return
        known.confirmed = fault is not None and known.fault is not None
        known.fault = fault
        known.due = now + (PERIOD_SECONDS if fault is None else RECHECK_SECONDS)

    def faults(self) -> list[PathFault]:
        """Of paths that were bad the last two times, by their addresses."""
        bad = (each.fault for each in self._paths.values() if each.confirmed and each.fault is not None)
        return sorted(bad, key=lambda fault: fault.address)[:MAX_FAULTS]


class PathMonitor:
    """For the event loop.

    Args:
        peers: the nodes that the overlay leads to, with the MAC addresses of their tunnels' ends.
        check: asks along one path; None where it is as it should be.
        report: takes the paths that are bad.
    """

    def __init__(
        self,
        *,
        peers: Callable[[], Awaitable[Mapping[Address, str]]],
        check: Callable[[Address, str], Awaitable[PathFault | None]],
        report: Callable[[Sequence[PathFault]], None],
    ) -> None:
        self._peers = peers
        self._check = check
        self._report = report
        self._schedule = PathSchedule()

    async def run(self) -> None:
        """Without end."""
        clock = asyncio.get_running_loop().time
        while True:
            await asyncio.sleep(TICK_SECONDS)
            self._schedule.set_peers(await self._peers(), clock())
            await self._check_due(self._schedule.due(clock()))
            self._report(self._schedule.faults())

    async def _check_due(self, due: Iterable[tuple[Address, str]]) -> None:
        async def one(address: Address, mac: str) -> None:
            self._schedule.record(address, await self._check(address, mac), asyncio.get_running_loop().time())

        async with TaskGroup() as group:
            for address, mac in due:
                group.create_task(one(address, mac), name=f"path to {address}")
