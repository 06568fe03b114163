"""Finds out that the leader's process has ended, before its lease expires.

A process that ends, however it ends, leaves a host that refuses connections to its port. That is proof enough to take
its lease away: were the leader still there, it would lose its term and nothing else, since etcd rejects what it writes
afterwards. A leader that hangs, or whose host is gone, refuses nothing: its lease expires.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from enum import Enum, auto

from shoal.rpc.host_port import parse

PROBE_SECONDS = 0.25
REFUSALS = 2
"""In a row: a manager that starts again refuses connections for a moment too, and its lease is an old one then."""
_CONNECT_SECONDS = 1.0


class ConnectionAttempt(Enum):
    """What became of an attempt to connect."""

    CONNECTED = auto()
    REFUSED = auto()
    UNKNOWN = auto()


Probe = Callable[[str], Awaitable[ConnectionAttempt]]
"""Try to connect to `host:port`."""


async def connect_once(address: str) -> ConnectionAttempt:
    """Connect by TCP, and disconnect. A suspended process is connected to: its kernel answers."""
    try:
        target = parse(address)
        async with asyncio.timeout(_CONNECT_SECONDS):
            _, writer = await asyncio.open_connection(target.host, target.port)
    except ConnectionRefusedError:
        return ConnectionAttempt.REFUSED
    except (OSError, TimeoutError):
        return ConnectionAttempt.UNKNOWN
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()
    return ConnectionAttempt.CONNECTED


async def until_ended(address: str, *, probe: Probe = connect_once, period_seconds: float = PROBE_SECONDS) -> None:
    """Return once connections to an address are refused that has accepted them before.

    An address that never accepted any says nothing: a firewall may refuse what others may do.
    """
    was_reached, refusals = False, 0
    while refusals < REFUSALS:
        reach = await probe(address)
        was_reached = was_reached or reach is ConnectionAttempt.CONNECTED
        refusals = refusals + 1 if reach is ConnectionAttempt.REFUSED and was_reached else 0
        await asyncio.sleep(period_seconds)
