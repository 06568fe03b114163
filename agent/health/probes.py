"""Runs one probe: exec in the container, or HTTP or TCP from its network namespace.

HTTP and TCP probes need no tool in the image: a socket that was created in the container's namespace stays there, so
the event loop can do the rest, and a hundred checks need no threads.
"""

import asyncio
import os
import re
import socket
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Protocol

from agent.health.exec_pool import ExecPool, ExecRunner
from agent.health.healthcheck import exec_command
from shoal.api.v1.container_pb2 import Healthcheck, HttpProbe
from shoal.errors import ShoalError
from shoal.one_line import one_line

MAX_LINE = 200
_MAX_RESPONSE = 4096
_STATUS_LINE = re.compile(rb"HTTP/1\.[01] ([1-5][0-9][0-9])(?: ([^\r\n]*))?\r?\n")


@dataclass(frozen=True)
class ProbeResult:
    """Result of a check; `message` is for the user."""

    passed: bool
    message: str


class ContainerAccess(ExecRunner, Protocol):
    """Access to running containers."""

    async def open_socket(self, task_id: str, family: socket.AddressFamily) -> socket.socket:
        """A non-blocking TCP socket in the container's network namespace. Raises as `ExecRunner.execute`."""
        ...


class HealthProber:
    """Runs checks; all containers of an agent share one."""

    def __init__(self, *, containers: ContainerAccess) -> None:
        self._containers = containers
        self._exec_pool = ExecPool(containers)

    async def probe(self, task_id: str, check: Healthcheck, address: str) -> ProbeResult:
        """Run one check. Failures are results, not errors.

        Args:
            check: complete.
            address: where the container serves, from its own view.
        """
        seconds = check.timeout_ms / 1000
        try:
            if check.test:
                return await self._exec(task_id, check, seconds)
            async with asyncio.timeout(seconds):
                return await self._connect(task_id, check, address)
        except TimeoutError:
            return ProbeResult(False, f"no response within {seconds:g} s")
        except OSError as error:
            return ProbeResult(
                False,
                f"{address}:{check.http.port or check.tcp.port}: {os.strerror(error.errno) if error.errno else error}",
            )
        except ShoalError as error:
            return ProbeResult(False, one_line(str(error), MAX_LINE))

    def remove(self, task_id: str) -> None:
        """The container is not checked any more."""
        self._exec_pool.forget(task_id)

    async def _exec(self, task_id: str, check: Healthcheck, seconds: float) -> ProbeResult:
        done = await self._exec_pool.exec(task_id, exec_command(check), seconds)
        lines = done.output.decode(errors="replace").split("\n")
        last = next((line for line in reversed(lines) if line.strip()), "")
        return ProbeResult(done.code == 0, one_line(last, MAX_LINE) or (f"exit code {done.code}" if done.code else ""))

    async def _connect(self, task_id: str, check: Healthcheck, address: str) -> ProbeResult:
        version = ip_address(address).version
        family = socket.AF_INET if version == 4 else socket.AF_INET6
        with await self._containers.open_socket(task_id, family) as connection:
            port = check.http.port if check.HasField("http") else check.tcp.port
            await asyncio.get_running_loop().sock_connect(connection, (address, port))
            if check.HasField("http"):
                return await _http(connection, check.http, f"[{address}]" if version == 6 else address)
        return ProbeResult(True, f"{address}:{port} accepts connections")


async def _http(connection: socket.socket, probe: HttpProbe, host: str) -> ProbeResult:
    """Send a GET and read the response's status line (RFC 9110 and 9112)."""
    loop = asyncio.get_running_loop()
    request = f"GET {probe.path or '/'} HTTP/1.1\r\nHost: {host}:{probe.port}\r\nUser-Agent: shoal-agent\r\n"
    await loop.sock_sendall(connection, f"{request}Accept: */*\r\nConnection: close\r\n\r\n".encode())
    response = b""
    while b"\n" not in response and len(response) < _MAX_RESPONSE:
        piece = await loop.sock_recv(connection, _MAX_RESPONSE)
        if not piece:
            break
        response += piece
    found = _STATUS_LINE.match(response)
    if found is None:
        return ProbeResult(False, "the response is not HTTP")
    status = int(found[1])
    reason = (found[2] or b"").decode(errors="replace")
    return ProbeResult(200 <= status < 400, one_line(f"HTTP {status} {reason}", MAX_LINE))
