"""Userspace relay for connections to ::1, which the kernel does not forward (RFC 4291, 2.5.3).

Connections to a published port of ::1 are relayed to the same port of an address of our own, from where the kernel
forwards them like all others. They end with the agent's process; other connections do not.
"""

import asyncio
import logging
import socket
import struct

from agent.network.well_known import LOOPBACK6
from shoal.task_group import TaskGroup

log = logging.getLogger(__name__)

_BACKLOG = 128
_CHUNK_BYTES = 1 << 16
_LINGER_RESET = struct.pack("ii", 1, 0)
"""struct linger: closing drops what is unsent (socket(7))."""


class LoopbackRelay:
    """Serves a bound TCP socket until it is closed. For the event loop's thread.

    Args:
        target: address and port that connections are relayed to.
    """

    def __init__(self, listener: socket.socket, target: tuple[str, int] | None = None) -> None:
        self._listener = listener
        self._target = target or (str(LOOPBACK6), listener.getsockname()[1])
        self._loop = asyncio.get_running_loop()
        self._connections: set[asyncio.Task[None]] = set()
        listener.setblocking(False)
        listener.listen(_BACKLOG)
        self._loop.add_reader(listener, self._accept)

    def fileno(self) -> int:
        return self._listener.fileno()

    def close(self) -> None:
        self._loop.remove_reader(self._listener)
        self._listener.close()
        for task in self._connections:
            task.cancel()

    def _accept(self) -> None:
        try:
            client, _ = self._listener.accept()
        except OSError as error:  # the client has gone, or there are too many open files
            log.debug("Accepting a connection to ::1 failed: %s", error)
            return
        task = self._loop.create_task(self._relay(client))
        self._connections.add(task)
        task.add_done_callback(self._connections.discard)

    async def _relay(self, client: socket.socket) -> None:
        client_reader, client_writer = await asyncio.open_connection(sock=client)
        try:
            target_reader, target_writer = await asyncio.open_connection(*self._target)
        except OSError:
            _reset(client_writer)  # the client sees the same failure
            return
        try:
            async with TaskGroup() as both:
                both.create_task(_copy(client_reader, target_writer))
                both.create_task(_copy(target_reader, client_writer))
        finally:
            client_writer.close()
            target_writer.close()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Copy until the end of the stream, which is passed on, as a reset is."""
    try:
        while data := await reader.read(_CHUNK_BYTES):
            writer.write(data)
            await writer.drain()
        writer.write_eof()
    except OSError:
        _reset(writer)


def _reset(writer: asyncio.StreamWriter) -> None:
    """Abort the connection (RST), so that the peer does not take partial data for the whole."""
    connection = writer.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_RESET)
    writer.transport.abort()
