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
"""Longest wait for listeners on all published ports; then the task gets traffic anyway."""
EXPOSED_TIMEOUT_SECONDS = 2.0
"""Longest wait for a listener on any port that the image exposes: images often expose more than they listen on."""
FIRST_POLL_SECONDS, MAX_POLL_SECONDS = 0.01, 0.25
"""The kernel does not report new listeners, so they are polled; each poll costs half a millisecond."""

_NUMBERS: dict[int, int] = {PublishedPort.TCP: 6, PublishedPort.UDP: 17}
_NAMES = {6: "tcp", 17: "udp"}

Port = tuple[int, int]
"""A protocol's number and a port of it."""


@dataclass(frozen=True)
class ExpectedPorts:
    """The ports that a task is expected to listen on.

    Attributes:
        require_all: all of the ports, not just one.
        timeout_seconds: maximum wait.
    """

    ports: frozenset[Port] = frozenset()
    require_all: bool = True
    timeout_seconds: float = 0.0


def expected_ports(published: Sequence[PublishedPort], exposed: Iterable[str]) -> ExpectedPorts:
    """The ports that a task must listen on. SCTP is not checked: few kernels report its sockets.

    Args:
        exposed: in the form of an image configuration, "80/tcp"; used if nothing is published.
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
    """Whether it listens on the expected ports."""
    found = expected.ports & sockets.reachable
    return found == expected.ports if expected.require_all else bool(found) or not expected.ports


def missing_ports_warning(expected: ExpectedPorts, sockets: Sockets) -> str:
    """The warning for a task that does not listen in time; empty for exposed ports."""
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
    """The listening check of one task.

    Args:
        read_sockets: reads the open sockets of a process's container; raises Unavailable.
        on_result: takes whether the task is still not listening, and a warning.
    """

    def __init__(
        self, *, read_sockets: Callable[[int], Awaitable[Sockets]], on_result: Callable[[bool, str], None]
    ) -> None:
        self._read_sockets = read_sockets
        self._on_result = on_result
        self._expected = ExpectedPorts()

    def configure(self, expected: ExpectedPorts) -> None:
        """Configure the ports of a container that is about to start; without ports there is no check."""
        self._expected = expected

    @property
    def is_needed(self) -> bool:
        return bool(self._expected.ports)

    async def run(self, pid: int) -> None:
        """Report the result once the process's container listens, or after the timeout.

        After a restart of the agent the expected ports are unknown, so the result is reported at once.
        """
        seen = Sockets()
        with suppress(TimeoutError):
            async with asyncio.timeout(self._expected.timeout_seconds):
                delay = FIRST_POLL_SECONDS
                while not is_listening(self._expected, seen := await self._read(pid)):
                    await asyncio.sleep(delay)
                    delay = min(2 * delay, MAX_POLL_SECONDS)
        self._on_result(False, missing_ports_warning(self._expected, seen))

    async def _read(self, pid: int) -> Sockets:
        try:
            return await self._read_sockets(pid)
        except Unavailable as error:
            _log.warning("cannot check listening ports; sending traffic to containers at once: %s", error)
            return Sockets(reachable=self._expected.ports)
