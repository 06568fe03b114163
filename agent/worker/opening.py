"""From running to serving: no client is led to a task before it listens on the ports that lead to it."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from agent.worker.seams import Sockets
from shoal.api.v1.service_pb2 import PublishedPort
from shoal.errors import Unavailable
from shoal.published_ports import protocol_of

_log = logging.getLogger(__name__)

PUBLISHED_SECONDS = 10.0
"""Longest wait for a listener on every published port; then the task gets its clients all the same."""
EXPOSED_SECONDS = 2.0
"""Longest wait for a listener on any port that the image exposes: images often expose more than they listen on."""
FIRST_POLL_SECONDS, LONGEST_POLL_SECONDS = 0.01, 0.25
"""Nothing tells of a new listener, so it is asked for; a look costs half a millisecond."""

_NUMBERS: dict[int, int] = {PublishedPort.TCP: 6, PublishedPort.UDP: 17}
_NAMES = {6: "tcp", 17: "udp"}

Port = tuple[int, int]
"""A protocol's number and a port of it."""


@dataclass(frozen=True)
class Awaited:
    """What is waited for.

    Attributes:
        every: all of the ports, not only one.
        seconds: at most.
    """

    ports: frozenset[Port] = frozenset()
    every: bool = True
    seconds: float = 0.0


def awaited(published: Sequence[PublishedPort], exposed: Iterable[str]) -> Awaited:
    """What a task has to listen on. SCTP is not waited for: kernels seldom tell of it.

    Args:
        exposed: as an image's configuration has them, "80/tcp"; they count where nothing is published.
    """
    if published:
        known = ((_NUMBERS.get(protocol_of(port)), port.target) for port in published)
        return Awaited(frozenset((number, port) for number, port in known if number), True, PUBLISHED_SECONDS)
    return Awaited(frozenset(_exposed(exposed)), False, EXPOSED_SECONDS)


def _exposed(texts: Iterable[str]) -> Iterable[Port]:
    for text in texts:
        port, _, protocol = text.partition("/")
        if protocol in ("", "tcp") and port.isdecimal():
            yield 6, int(port)


def is_open(wanted: Awaited, sockets: Sockets) -> bool:
    """Whether it listens on what is waited for."""
    found = wanted.ports & sockets.reached
    return found == wanted.ports if wanted.every else bool(found) or not wanted.ports


def notice(wanted: Awaited, sockets: Sockets) -> str:
    """What to tell of a task that does not listen in time; of exposed ports, nothing."""
    missing = sorted(wanted.ports - sockets.reached) if wanted.every else []
    if not missing:
        return ""
    names = ", ".join(f"{port}/{_NAMES[protocol]}" for protocol, port in missing)
    why = " but on 127.0.0.1, where no other reaches it" if sockets.local.issuperset(missing) else ""
    return f"nothing listens on {names}{why}"


class Opening:
    """One task's.

    Args:
        look: what the container of a process has open; raises Unavailable.
        tell: takes whether it still opens, and what is odd about it.
    """

    def __init__(self, *, look: Callable[[int], Awaitable[Sockets]], tell: Callable[[bool, str], None]) -> None:
        self._look = look
        self._tell = tell
        self._awaited = Awaited()

    def choose(self, wanted: Awaited) -> None:
        """Settle what a container that is about to start has to listen on; nothing waits for it without ports."""
        self._awaited = wanted

    @property
    def is_needed(self) -> bool:
        return bool(self._awaited.ports)

    async def watch(self, pid: int) -> None:
        """Tell when the container of this process listens, or when that has been waited for long enough.

        After a restart of the agent nothing is known to be waited for, so it is told at once.
        """
        seen = Sockets()
        with suppress(TimeoutError):
            async with asyncio.timeout(self._awaited.seconds):
                pause = FIRST_POLL_SECONDS
                while not is_open(self._awaited, seen := await self._seen(pid)):
                    await asyncio.sleep(pause)
                    pause = min(2 * pause, LONGEST_POLL_SECONDS)
        self._tell(False, notice(self._awaited, seen))

    async def _seen(self, pid: int) -> Sockets:
        try:
            return await self._look(pid)
        except Unavailable as error:
            _log.warning("It is not known where containers listen, so they get clients at once: %s", error)
            return Sockets(reached=self._awaited.ports)
