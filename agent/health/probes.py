"""One check of one container: a program run in it, or a question asked from its network namespace.

The questions need no tool in the image: a socket that was made in the container's namespace belongs to it for good, so
the event loop can do the rest, and a hundred checks need no thread of their own.
"""

import asyncio
import os
import re
import socket
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Protocol

from agent.health.check import command
from agent.health.executions import Executions, Programs
from shoal.api.v1.container_pb2 import Healthcheck, HttpProbe
from shoal.errors import ShoalError

MAX_LINE = 200
_MAX_ANSWER = 4096
_STATUS_LINE = re.compile(rb"HTTP/1\.[01] ([1-5][0-9][0-9])(?: ([^\r\n]*))?\r?\n")


@dataclass(frozen=True)
class Finding:
    """What a check found; `line` is for the user."""

    passed: bool
    line: str


class Containers(Programs, Protocol):
    """Access to running containers."""

    async def open_socket(self, task_id: str, family: socket.AddressFamily) -> socket.socket:
        """A non-blocking TCP socket in the container's network namespace. Raises as `Programs.execute`."""
        ...


class Prober:
    """Makes checks; all containers of an agent share one."""

    def __init__(self, *, containers: Containers) -> None:
        self._containers = containers
        self._executions = Executions(containers)

    async def check(self, task_id: str, check: Healthcheck, address: str) -> Finding:
        """Make one check. What goes wrong is a finding, not an error.

        Args:
            check: complete.
            address: that the container serves at, as it sees it itself.
        """
        seconds = check.timeout_ms / 1000
        try:
            if check.test:
                return await self._execute(task_id, check, seconds)
            async with asyncio.timeout(seconds):
                return await self._ask(task_id, check, address)
        except TimeoutError:
            return Finding(False, f"no answer within {seconds:g} s")
        except OSError as error:
            return Finding(
                False,
                f"{address}:{check.http.port or check.tcp.port}: {os.strerror(error.errno) if error.errno else error}",
            )
        except ShoalError as error:
            return Finding(False, _line(str(error)))

    def forget(self, task_id: str) -> None:
        """The container is checked no more."""
        self._executions.forget(task_id)

    async def _execute(self, task_id: str, check: Healthcheck, seconds: float) -> Finding:
        done = await self._executions.run(task_id, command(check), seconds)
        lines = done.output.decode(errors="replace").split("\n")
        last = next((line for line in reversed(lines) if line.strip()), "")
        return Finding(done.code == 0, _line(last) or (f"exit code {done.code}" if done.code else ""))

    async def _ask(self, task_id: str, check: Healthcheck, address: str) -> Finding:
        version = ip_address(address).version
        family = socket.AF_INET if version == 4 else socket.AF_INET6
        with await self._containers.open_socket(task_id, family) as asking:
            port = check.http.port if check.HasField("http") else check.tcp.port
            await asyncio.get_running_loop().sock_connect(asking, (address, port))
            if check.HasField("http"):
                return await _http(asking, check.http, f"[{address}]" if version == 6 else address)
        return Finding(True, f"{address}:{port} accepts connections")


async def _http(asking: socket.socket, probe: HttpProbe, host: str) -> Finding:
    """RFC 9110 and 9112: a GET, of whose answer the status line is read."""
    loop = asyncio.get_running_loop()
    request = f"GET {probe.path or '/'} HTTP/1.1\r\nHost: {host}:{probe.port}\r\nUser-Agent: shoal-agent\r\n"
    await loop.sock_sendall(asking, f"{request}Accept: */*\r\nConnection: close\r\n\r\n".encode())
    answer = b""
    while b"\n" not in answer and len(answer) < _MAX_ANSWER:
        piece = await loop.sock_recv(asking, _MAX_ANSWER)
        if not piece:
            break
        answer += piece
    found = _STATUS_LINE.match(answer)
    if found is None:
        return Finding(False, "the answer is not HTTP")
    status = int(found[1])
    return Finding(200 <= status < 400, _line(f"HTTP {status} {(found[2] or b'').decode(errors='replace')}"))


def _line(text: str) -> str:
    printable = "".join(character if character.isprintable() else " " for character in text)
    return " ".join(printable.split())[:MAX_LINE]
