"""`RUN --mount=type=ssh`: a socket on this host, whose requests go to the SSH agent of who builds."""

import asyncio
import itertools
import os
from collections.abc import Awaitable, Callable, Collection
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path

from shoal.api.v1.builds_pb2 import SshReply, SshRequest
from shoal.dockerfile.run_mounts import SshMount
from shoal.spec_parsers.builds.ssh_messages import FAILURE, LENGTH_BYTES, MAX_MESSAGE_BYTES, may_send, with_length

SOCKET_VARIABLE = "SSH_AUTH_SOCK"
MAX_OPEN = 64
"""Requests that wait for their replies."""


def default_target(number: int) -> str:
    """Where a socket is, by the number of its mount among those of this kind."""
    return f"/run/buildkit/ssh_agent.{number}"


@dataclass
class SshForwarding:
    """For one event loop.

    Attributes:
        ids: agents that there are. send: to who builds.
    """

    ids: Collection[str]
    send: Callable[[SshRequest], Awaitable[None]]
    _numbers: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1))
    _waiting: dict[int, "asyncio.Future[bytes]"] = field(default_factory=dict)

    def answered(self, reply: SshReply) -> None:
        """A reply of who builds."""
        waiting = self._waiting.pop(reply.number, None)
        if waiting is not None and not waiting.done():
            waiting.set_result(reply.message or FAILURE)

    async def open(self, mount: SshMount, path: Path, stack: ExitStack) -> None:
        """A socket at a path that is free, until the stack is closed. Raises OSError."""
        directory = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:  # the path itself may be longer than an address may be
            short = f"/proc/self/fd/{directory}/{path.name}"
            server = await asyncio.start_unix_server(lambda *ends: self._serve(mount.ssh_id, *ends), short)
        finally:
            os.close(directory)
        stack.callback(server.close)
        os.chown(path, mount.uid, mount.gid)
        path.chmod(mount.mode)

    async def _serve(self, ssh_id: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection of a command: requests one after the other."""
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                size = int.from_bytes(await reader.readexactly(LENGTH_BYTES), "big")
                if size > MAX_MESSAGE_BYTES:
                    break
                reply = await self._ask(ssh_id, await reader.readexactly(size))
                writer.write(with_length(reply))
                await writer.drain()
        writer.close()

    async def _ask(self, ssh_id: str, message: bytes) -> bytes:
        if not may_send(message) or len(self._waiting) >= MAX_OPEN:
            return FAILURE
        number = next(self._numbers)
        waiting: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._waiting[number] = waiting
        try:
            await self.send(SshRequest(number=number, id=ssh_id, message=message))
            return await waiting
        finally:
            self._waiting.pop(number, None)
