"""Connections to ::1, carried by hand: the kernel leads none of them elsewhere (RFC 4291, 2.5.3).

What comes to a published port of ::1 is sent on to the same port of an address that is ours alone, and led from there
as all else is. The connections end with the agent's process, which no others do.
"""

import asyncio
import logging
import socket
import struct

from agent.network.names import LOOPBACK6
from shoal.task_group import TaskGroup

log = logging.getLogger(__name__)

_WAITING = 128
_PIECE_BYTES = 1 << 16
_DROP = struct.pack("ii", 1, 0)
"""struct linger: closing drops what is unsent (socket(7))."""


class LocalRelay:
    """Serves a bound TCP socket until it is closed. For the event loop's thread.

    Args:
        target: address and port that everything goes to.
    """

    def __init__(self, listener: socket.socket, target: tuple[str, int] | None = None) -> None:
        self._listener = listener
        self._target = target or (str(LOOPBACK6), listener.getsockname()[1])
        self._loop = asyncio.get_running_loop()
        self._carried: set[asyncio.Task[None]] = set()
        listener.setblocking(False)
        listener.listen(_WAITING)
        self._loop.add_reader(listener, self._accept)

    def fileno(self) -> int:
        return self._listener.fileno()

    def close(self) -> None:
        self._loop.remove_reader(self._listener)
        self._listener.close()
        for task in self._carried:
            task.cancel()

    def _accept(self) -> None:
        try:
            client, _ = self._listener.accept()
        except OSError as error:  # it has gone already, or there are too many open files
            log.debug("A connection to ::1 was not accepted: %s", error)
            return
        task = self._loop.create_task(self._carry(client))
        self._carried.add(task)
        task.add_done_callback(self._carried.discard)

    async def _carry(self, client: socket.socket) -> None:
        here, to_here = await asyncio.open_connection(sock=client)
        try:
            there, to_there = await asyncio.open_connection(*self._target)
        except OSError:
            _reset(to_here)  # the client sees what we saw: nobody answers
            return
        try:
            async with TaskGroup() as both:
                both.create_task(_pass_on(here, to_there))
                both.create_task(_pass_on(there, to_here))
        finally:
            to_here.close()
            to_there.close()


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Up to the end of what is sent, which is passed on too, as a reset is."""
    try:
        while data := await reader.read(_PIECE_BYTES):
            writer.write(data)
            await writer.drain()
        writer.write_eof()
    except OSError:
        _reset(writer)


def _reset(writer: asyncio.StreamWriter) -> None:
    """End the connection as one that is broken (RST), so that nobody takes what there is for all."""
    connection = writer.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _DROP)
    writer.transport.abort()
