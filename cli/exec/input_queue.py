"""The messages to a process, in order."""

import os
import select
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Self

from shoal.api.v1.streams_pb2 import ExecInput

CHUNK_BYTES = 32 << 10
"""Of standard input in one message, at most."""
MAX_PENDING_CHUNKS = 4
"""Of standard input that wait to be sent: a program that is slow to read holds our reading back."""


class InputQueue:
    """A request iterator that a thread of gRPC reads. It ends when it is closed.

    Args:
        first: the first message.
    """

    def __init__(self, first: ExecInput) -> None:
        # This queue, unlike `queue.Queue`, may be put into by a signal handler while its own thread is at it.
        self._messages: SimpleQueue[ExecInput | None] = SimpleQueue()
        self._free_slots = threading.Semaphore(MAX_PENDING_CHUNKS)
        self._messages.put(first)

    def put(self, message: ExecInput) -> None:
        """Send it after all before it. Never waits."""
        self._messages.put(message)

    def wait_for_room(self) -> None:
        """Wait until a piece of input may be put. Every piece needs a call of its own."""
        self._free_slots.acquire()

    def close(self) -> None:
        """Nothing follows."""
        self._messages.put(None)

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> ExecInput:
        message = self._messages.get()
        if message is None:
            raise StopIteration
        if message.HasField("stdin"):
            self._free_slots.release()
        return message


def send_all(queue: InputQueue, read: Callable[[], bytes]) -> None:
    """Put all of standard input, piece by piece. Each is read only when there is room for it.

    Args:
        read: the next piece; empty at the end.
    Raises:
        OSError: of `read`.
    """
    queue.wait_for_room()
    while piece := read():
        queue.put(ExecInput(stdin=piece))
        queue.wait_for_room()


def read_chunk(descriptor: int) -> bytes:
    """What is there, at least a byte and at most `CHUNK_BYTES`; empty at the end."""
    while True:
        try:
            return os.read(descriptor, CHUNK_BYTES)
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
