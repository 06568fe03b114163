"""The drivers beside this agent, as they come and go."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from agent.csi.plugin import Plugin
from agent.csi.sockets import DriverSocket, find_sockets
from agent.news import News
from agent.worker.faults import line_of
from shoal.api.v1.node_pb2 import CsiDriver
from shoal.errors import Refused, Unavailable
from shoal.task_group import TaskGroup

LOOK_SECONDS = 1.0
"""Between looks at each driver."""

FIRST_LOOK_SECONDS = 2.0
"""For drivers to answer before the agent goes on without those that do not."""

PROBE_SECONDS = 5.0
"""For a driver to say what it is."""

_log = logging.getLogger(__name__)


@dataclass
class _Known:
    """A socket with what is known of its driver; no description until it has told who it is."""

    socket: DriverSocket
    probing: Plugin
    calling: Plugin
    described: CsiDriver | None = None
    problem: str = ""

    def is_called(self, name: str) -> bool:
        """Whether it has told that this is its name."""
        return self.described is not None and self.described.name == name


class Drivers:
    """Finds drivers, asks what they can, and notices when they are away. `look` once, then `run`.

    Each is asked for itself: one that does not answer keeps nobody from hearing of the others.

    Args:
        directory: where their sockets lie; need not exist.
        told: sockets elsewhere.
        call_seconds: how long a call of a volume's life may take.
    """

    def __init__(self, *, directory: Path, told: Sequence[DriverSocket], call_seconds: float) -> None:
        self._directory = directory
        self._told = told
        self._call_seconds = call_seconds
        self._known: dict[Path, _Known] = {}
        self._shown: list[CsiDriver] = []
        self._news = News()

    def described(self) -> list[CsiDriver]:
        """Every driver that has told who it is, by name; those that are away say so."""
        found: dict[str, CsiDriver] = {}
        for known in sorted(self._known.values(), key=lambda each: bool(each.problem)):
            if known.described is not None:
                copy = CsiDriver()
                copy.CopyFrom(known.described)
                copy.problem = known.problem
                found.setdefault(copy.name, copy)
        return [found[name] for name in sorted(found)]

    def named(self, name: str) -> tuple[Plugin, CsiDriver]:
        """A driver's calls, and what it is.

        Raises:
            Unavailable: this node has no such driver, or it is away.
        """
        driver = next((each for each in self.described() if each.name == name), None)
        if driver is None:
            raise Unavailable(f"this node has no driver {name}")
        if driver.problem:
            raise Unavailable(driver.problem)
        return next(each.calling for each in self._known.values() if each.is_called(name) and not each.problem), driver

    def changes(self) -> AsyncGenerator[None]:
        """Once now, and again whenever `described` is another."""
        return self._news.rounds()

    async def run(self) -> None:
        """Until cancelled."""
        watched: set[Path] = set()
        async with TaskGroup() as group:
            while True:
                self._find()
                for path in self._known.keys() - watched:
                    watched.add(path)
                    group.create_task(self._watch(self._known[path]), name=f"driver at {path}")
                await asyncio.sleep(LOOK_SECONDS)

    async def look(self) -> None:
        """Ask every driver once, and wait for those that answer soon."""
        self._find()
        with suppress(TimeoutError):
            async with asyncio.timeout(FIRST_LOOK_SECONDS), TaskGroup() as group:
                for known in self._known.values():
                    group.create_task(self._ask(known))

    def _find(self) -> None:
        for socket in find_sockets(self._directory, self._told):
            if socket.path not in self._known:
                times = (PROBE_SECONDS, self._call_seconds)
                probing, calling = (Plugin(socket.path, call_seconds=seconds) for seconds in times)
                self._known[socket.path] = _Known(socket, probing, calling)

    async def _watch(self, known: _Known) -> None:
        while True:
            await self._ask(known)
            await asyncio.sleep(LOOK_SECONDS)

    async def close(self) -> None:
        """End all connections."""
        for known in self._known.values():
            await known.probing.close()
            await known.calling.close()

    async def _ask(self, known: _Known) -> None:
        try:
            await known.probing.probe()
            if known.described is None or known.problem:
                await self._meet(known)
        except Exception as error:
            problem = line_of(f"the driver at {known.socket.path}", error)
            if known.problem != problem:
                _log.warning("%s: %s", known.socket.path, problem)
            known.problem = problem
        else:
            known.problem = ""
        if (now := self.described()) != self._shown:
            self._shown = now
            self._news.ring()

    async def _meet(self, known: _Known) -> None:
        """Learn who it is: it may be a newer version, or another one, since it was last heard.

        Raises:
            DriverFailure: it does not answer. Refused: it is not the one that was meant.
        """
        driver = await known.probing.describe()
        if known.socket.name not in ("", driver.name):
            raise Refused(f"the driver calls itself {driver.name}, and --csi calls it {known.socket.name}")
        others = (each for each in self._known.values() if each is not known)
        if any(each.is_called(driver.name) and not each.problem for each in others):
            raise Refused(f"another socket has a driver {driver.name} already")
        if driver != known.described:
            _log.info("driver %s %s at %s", driver.name, driver.version, known.socket.path)
        known.described, known.calling.name = driver, driver.name
