"""Periodically checks that full-size packets reach every other node; reports a path that fails twice."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from agent.network.ip_types import Address
from shoal.api.v1.node_pb2 import PathFault
from shoal.task_group import TaskGroup

FIRST_CHECK_SECONDS = 10.0
"""After a node becomes known: it has to learn of this one, too."""
RECHECK_SECONDS = 20.0
"""After a path was found faulty, whether that is reported already or not."""
PERIOD_SECONDS = 600.0
"""Of healthy paths. A node with a thousand others sends two or three packets a second."""
TICK_SECONDS = 5.0
MAX_CONCURRENT = 16
MAX_FAULTS = 50
"""Faults that are reported; a node with more most likely has the same fault with all."""


@dataclass
class _CheckedPath:
    mac: str
    due: float
    fault: PathFault | None = None
    confirmed: bool = False


class PathSchedule:
    """Which paths are due for a check, and which are faulty. Times of any monotonic clock, seconds."""

    def __init__(self) -> None:
        self._paths: dict[Address, _CheckedPath] = {}

    def set_peers(self, peers: Mapping[Address, str], now: float) -> None:
        """Set the nodes that the overlay has a tunnel to, with the MAC addresses of their VTEPs."""
        for removed in self._paths.keys() - peers.keys():
            del self._paths[removed]
        for address, mac in peers.items():
            known = self._paths.setdefault(address, _CheckedPath(mac, now + FIRST_CHECK_SECONDS))
            known.mac = mac

    def due(self, now: float) -> list[tuple[Address, str]]:
        """The paths to check now, the longest due first."""
        ordered = sorted((each.due, str(address), address) for address, each in self._paths.items() if each.due <= now)
        return [(address, self._paths[address].mac) for _, _, address in ordered[:MAX_CONCURRENT]]

    def record(self, address: Address, fault: PathFault | None, now: float) -> None:
        """Record a result; None for a healthy path, or an inconclusive check."""
        if (known := self._paths.get(address)) is None:
            return
        known.confirmed = fault is not None and known.fault is not None
        known.fault = fault
        known.due = now + (PERIOD_SECONDS if fault is None else RECHECK_SECONDS)

    def faults(self) -> list[PathFault]:
        """The faults of paths that failed the last two checks, by address."""
        confirmed = (each.fault for each in self._paths.values() if each.confirmed and each.fault is not None)
        return sorted(confirmed, key=lambda fault: fault.address)[:MAX_FAULTS]


class PathMonitor:
    """For the event loop.

    Args:
        peers: returns the nodes that the overlay has a tunnel to, with the MAC addresses of their VTEPs.
        check: checks one path; None where it is healthy.
        report: receives the faulty paths.
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
        """Check paths that are due, until cancelled."""
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
