"""What goes to the program, in order."""

import os
import select
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Self

from shoal.api.v1.streams_pb2 import ExecInput

PIECE_BYTES = 32 << 10
"""Of standard input in one message, at most."""
PIECES = 4
"""Of standard input that wait to be sent: a program that is slow to read holds our reading back."""


class Outbox:
    """An iterator for gRPC, whose thread takes from it. It ends when it is closed.

    Args:
        first: the first message.
    """

    def __init__(self, first: ExecInput) -> None:
        # This queue, unlike `queue.Queue`, may be put into by a signal handler while its own thread is at it.
        self._messages: SimpleQueue[ExecInput | None] = SimpleQueue()
        self._room = threading.Semaphore(PIECES)
        self._messages.put(first)

    def put(self, message: ExecInput) -> None:
        """Send it after all before it. Never waits."""
        self._messages.put(message)

    def wait_for_room(self) -> None:
        """Wait until a piece of input may be put. Every piece needs a call of its own."""
        self._room.acquire()

    def close(self) -> None:
        """Nothing follows."""
        self._messages.put(None)

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> ExecInput:
        message = self._messages.get()
        if message is None:
            raise StopIteration
        if message.HasField("input"):
            self._room.release()
        return message


def feed(outbox: Outbox, read: Callable[[], bytes]) -> None:
    """Put all of standard input, piece by piece. Each is read only when there is room for it.

    Args:
        read: the next piece; empty at the end.
    Raises:
        OSError: of `read`.
    """
    outbox.wait_for_room()
    while piece := read():
        outbox.put(ExecInput(input=piece))
        outbox.wait_for_room()


def read_piece(descriptor: int) -> bytes:
    """What is there, at least a byte and at most `PIECE_BYTES`; empty at the end."""
    while True:
        try:
            return os.read(descriptor, PIECE_BYTES)
        except BlockingIOError:  # others that share it may have made it so
            select.select([descriptor], [], [])


def write_all(descriptor: int, data: bytes) -> None:
    """Write through, with no buffer of our own that would be left over when we are interrupted.

    Raises:
        OSError: BrokenPipeError, when the reader has gone.
    """
    rest = memoryview(data)
    while rest:
        try:
            rest = rest[os.write(descriptor, rest) :]
        except BlockingIOError:
            select.select([], [descriptor], [])
