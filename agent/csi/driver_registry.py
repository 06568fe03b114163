"""Registry of CSI drivers on this node; detects when they appear and disappear."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from agent.csi.driver_client import DriverClient
from agent.csi.driver_sockets import DriverSocket, find_sockets
from agent.worker.error_handling import describe_error
from shoal.api.v1.node_pb2 import CsiDriver
from shoal.errors import Refused, Unavailable
from shoal.notifier import Notifier
from shoal.task_group import TaskGroup

PROBE_INTERVAL_SECONDS = 1.0
"""Interval of probes of each driver."""

STARTUP_SECONDS = 2.0
"""Wait for drivers at the start; the agent continues without those that do not respond."""

PROBE_TIMEOUT_SECONDS = 5.0
"""Timeout of identifying a driver."""

_log = logging.getLogger(__name__)


@dataclass
class _KnownDriver:
    """A socket and its driver; no description until the driver has identified itself."""

    socket: DriverSocket
    probe_client: DriverClient
    client: DriverClient
    description: CsiDriver | None = None
    problem: str = ""

    def has_name(self, name: str) -> bool:
        """Whether the driver has identified itself by this name."""
        return self.description is not None and self.description.name == name


class DriverRegistry:
    """Finds drivers, reads their capabilities, and detects when they are unavailable. `refresh` once, then `run`.

    Drivers are probed independently: one that does not respond does not delay the others.

    Args:
        directory: of their sockets; need not exist.
        configured: sockets elsewhere.
        call_seconds: timeout of calls for volumes.
    """

    def __init__(self, *, directory: Path, configured: Sequence[DriverSocket], call_seconds: float) -> None:
        self._directory = directory
        self._configured = configured
        self._call_seconds = call_seconds
        self._known: dict[Path, _KnownDriver] = {}
        self._reported: list[CsiDriver] = []
        self._notifier = Notifier()

    def descriptions(self) -> list[CsiDriver]:
        """Every identified driver, by name; unavailable ones have a problem."""
        found: dict[str, CsiDriver] = {}
        for known in sorted(self._known.values(), key=lambda each: bool(each.problem)):
            if known.description is not None:
                copy = CsiDriver()
                copy.CopyFrom(known.description)
                copy.problem = known.problem
                found.setdefault(copy.name, copy)
        return [found[name] for name in sorted(found)]

    def get(self, name: str) -> tuple[DriverClient, CsiDriver]:
        """A driver's client and description.

        Raises:
            Unavailable: this node has no such driver, or it is unavailable.
        """
        driver = next((each for each in self.descriptions() if each.name == name), None)
        if driver is None:
            raise Unavailable(f"CSI driver {name} not found on this node")
        if driver.problem:
            raise Unavailable(driver.problem)
        return next(each.client for each in self._known.values() if each.has_name(name) and not each.problem), driver

    def changes(self) -> AsyncGenerator[None]:
        """Once immediately, and again whenever `descriptions` changes."""
        return self._notifier.wakeups()

    async def run(self) -> None:
        """Probe drivers until cancelled."""
        watched: set[Path] = set()
        async with TaskGroup() as group:
            while True:
                self._discover()
                for path in self._known.keys() - watched:
                    watched.add(path)
                    group.create_task(self._watch(self._known[path]), name=f"driver at {path}")
                await asyncio.sleep(PROBE_INTERVAL_SECONDS)

    async def refresh(self) -> None:
        """Probe every driver once, and wait for those that respond soon."""
        self._discover()
        with suppress(TimeoutError):
            async with asyncio.timeout(STARTUP_SECONDS), TaskGroup() as group:
                for known in self._known.values():
                    group.create_task(self._probe(known))

    def _discover(self) -> None:
        for socket in find_sockets(self._directory, self._configured):
            if socket.path not in self._known:
                times = (PROBE_TIMEOUT_SECONDS, self._call_seconds)
                probing, calling = (DriverClient(socket.path, call_seconds=seconds) for seconds in times)
                self._known[socket.path] = _KnownDriver(socket, probing, calling)

    async def _watch(self, known: _KnownDriver) -> None:
        while True:
            await self._probe(known)
            await asyncio.sleep(PROBE_INTERVAL_SECONDS)

    async def close(self) -> None:
        """Close all connections."""
        for known in self._known.values():
            await known.probe_client.close()
            await known.client.close()

    async def _probe(self, known: _KnownDriver) -> None:
        try:
            await known.probe_client.probe()
            if known.description is None or known.problem:
                await self._identify(known)
        except Exception as error:
            problem = describe_error(f"the driver at {known.socket.path}", error)
            if known.problem != problem:
                _log.warning("%s: %s", known.socket.path, problem)
            known.problem = problem
        else:
            known.problem = ""
        if (now := self.descriptions()) != self._reported:
            self._reported = now
            self._notifier.notify()

    async def _identify(self, known: _KnownDriver) -> None:
        """Read its name and capabilities, which may have changed since the last contact.

        Raises:
            DriverError: no response. Refused: it has another name than expected.
        """
        driver = await known.probe_client.describe()
        if known.socket.name not in ("", driver.name):
            raise Refused(f"the driver is named {driver.name}, but --csi names it {known.socket.name}")
        others = (each for each in self._known.values() if each is not known)
        if any(each.has_name(driver.name) and not each.problem for each in others):
            raise Refused(f"driver {driver.name} already has another socket")
        if driver != known.description:
            _log.info("found CSI driver %s %s at %s", driver.name, driver.version, known.socket.path)
        known.description, known.client.name = driver, driver.name
