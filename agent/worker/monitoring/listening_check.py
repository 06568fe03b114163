"""Checks that a running task listens on its ports before it receives traffic."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from agent.worker.interfaces import Sockets
from shoal.api.v1.service_pb2 import PublishedPort
from shoal.errors import Unavailable
from shoal.networks.published_ports import protocol_of

_log = logging.getLogger(__name__)

PUBLISHED_TIMEOUT_SECONDS = 10.0
"""Longest wait for a listener on every published port; then the task gets its clients all the same."""
EXPOSED_TIMEOUT_SECONDS = 2.0
"""Longest wait for a listener on any port that the image exposes: images often expose more than they listen on."""
FIRST_POLL_SECONDS, MAX_POLL_SECONDS = 0.01, 0.25
"""Nothing tells of a new listener, so it is asked for; a look costs half a millisecond."""

_NUMBERS: dict[int, int] = {PublishedPort.TCP: 6, PublishedPort.UDP: 17}
_NAMES = {6: "tcp", 17: "udp"}

Port = tuple[int, int]
"""A protocol's number and a port of it."""


@dataclass(frozen=True)
class ExpectedPorts:
    """What is waited for.

    Attributes:
        require_all: all of the ports, not only one.
        timeout_seconds: at most.
    """

    ports: frozenset[Port] = frozenset()
    require_all: bool = True
    timeout_seconds: float = 0.0


def expected_ports(published: Sequence[PublishedPort], exposed: Iterable[str]) -> ExpectedPorts:
    """What a task has to listen on. SCTP is not waited for: kernels seldom tell of it.

    Args:
        exposed: as an image's configuration has them, "80/tcp"; they count where nothing is published.
    """
    if published:
        known = ((_NUMBERS.get(protocol_of(port)), port.target) for port in published)
        return ExpectedPorts(
            frozenset((number, port) for number, port in known if number), True, PUBLISHED_TIMEOUT_SECONDS
        )
    return ExpectedPorts(frozenset(_exposed(exposed)), False, EXPOSED_TIMEOUT_SECONDS)


def _exposed(texts: Iterable[str]) -> Iterable[Port]:
    for text in texts:
        port, _, protocol = text.partition("/")
        if protocol in ("", "tcp") and port.isdecimal():
            yield 6, int(port)


def is_listening(expected: ExpectedPorts, sockets: Sockets) -> bool:
    """Whether it listens on what is waited for."""
    found = expected.ports & sockets.reachable
    return found == expected.ports if expected.require_all else bool(found) or not expected.ports


def missing_ports_warning(expected: ExpectedPorts, sockets: Sockets) -> str:
    """What to tell of a task that does not listen in time; of exposed ports, nothing."""
    missing = sorted(expected.ports - sockets.reachable) if expected.require_all else []
    if not missing:
        return ""
    names = ", ".join(f"{port}/{_NAMES[protocol]}" for protocol, port in missing)
    why = (
        " except on 127.0.0.1, which is not reachable from outside the container"
        if sockets.loopback_only.issuperset(missing)
        else ""
    )
    return f"nothing listens on {names}{why}"


class ListeningCheck:
    """One task's.

    Args:
        read_sockets: what the container of a process has open; raises Unavailable.
        on_result: takes whether it still opens, and what is odd about it.
    """

    def __init__(
        self, *, read_sockets: Callable[[int], Awaitable[Sockets]], on_result: Callable[[bool, str], None]
    ) -> None:
        self._read_sockets = read_sockets
        self._on_result = on_result
        self._expected = ExpectedPorts()

    def configure(self, expected: ExpectedPorts) -> None:
        """Settle what a container that is about to start has to listen on; nothing waits for it without ports."""
        self._expected = expected

    @property
    def is_needed(self) -> bool:
        return bool(self._expected.ports)

    async def run(self, pid: int) -> None:
        """Tell when the container of this process listens, or when that has been waited for long enough.

        After a restart of the agent nothing is known to be waited for, so it is told at once.
        """
        seen = Sockets()
        with suppress(TimeoutError):
            async with asyncio.timeout(self._expected.timeout_seconds):
                pause = FIRST_POLL_SECONDS
                while not is_listening(self._expected, seen := await self._read(pid)):
                    await asyncio.sleep(pause)
                    pause = min(2 * pause, MAX_POLL_SECONDS)
        self._on_result(False, missing_ports_warning(self._expected, seen))

    async def _read(self, pid: int) -> Sockets:
        try:
            return await self._read_sockets(pid)
        except Unavailable as error:
            _log.warning("cannot check listening ports; sending traffic to containers at once: %s", error)
            return Sockets(reachable=self._expected.ports)
