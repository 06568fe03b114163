"""Tries to reach TCP ports of the cluster from this host."""

import asyncio
import time
from collections.abc import Iterable, Sequence

from shoal.api.v1.diagnosis_pb2 import DiagnosisCheck, DialTarget
from shoal.errors import InvalidInput
from shoal.host_checks.findings import failed, passed, warning
from shoal.rpc import host_port

MAX_TARGETS = 64
DIAL_SECONDS = 3.0
SLOW_SECONDS = 0.5


def require_few(targets: Sequence[DialTarget]) -> None:
    """Raises InvalidInput: too many targets, or one that is none."""
    if len(targets) > MAX_TARGETS:
        raise InvalidInput(f"targets: too many ({len(targets)}); the maximum is {MAX_TARGETS}")
    for target in targets:
        host_port.parse(target.address)


async def check_ports(targets: Iterable[DialTarget]) -> list[DiagnosisCheck]:
    """Connect to all at once, send nothing, and close."""
    return list(await asyncio.gather(*map(_check_port, targets)))


async def _check_port(target: DialTarget) -> DiagnosisCheck:
    name, where = f"port of {target.name}", host_port.parse(target.address)
    began = time.monotonic()
    try:
        async with asyncio.timeout(DIAL_SECONDS):
            _, writer = await asyncio.open_connection(where.host, where.port)
    except TimeoutError:
        action = "check firewalls and routes between the hosts: the packets are dropped"
        return failed(name, f"no response from {target.address} within {DIAL_SECONDS:g} s", action)
    except OSError as error:
        action = "check that the program runs there, and firewalls between the hosts"
        return failed(name, f"cannot connect to {target.address}: {error.strerror or error}", action)
    writer.transport.abort()
    took = time.monotonic() - began
    found = f"{target.address} accepts connections, after {took * 1000:.1f} ms"
    if took > SLOW_SECONDS:
        return warning(name, found, "check the load of both hosts and the network between them")
    return passed(name, found)
