"""Output of containers that is on its way to attached clients, which the answer to `wait` must not overtake.

The docker command line stops copying output as soon as `wait` is answered. So the end of a container is told when the
clients that are attached to it have been sent the last byte and have read it, unless they do not read.
"""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from engine.server.hijack import RawStream

STALL_SECONDS = 2.0
"""A client that takes nothing for so long is not waited for."""


class WatchedStream:
    """A `RawStream` that knows when its client has taken something.

    Args:
        on_delivered: called when it has all of the output.
    Attributes:
        progress_at: when it has taken something, on the loop's clock.
    """

    def __init__(self, stream: RawStream, on_delivered: "Callable[[WatchedStream], None]") -> None:
        self._stream = stream
        self._on_delivered = on_delivered
        self.progress_at = asyncio.get_running_loop().time()

    async def read(self) -> bytes:
        return await self._stream.read()

    async def write(self, data: bytes) -> None:
        await self._stream.write(data)
        self.progress_at = asyncio.get_running_loop().time()

    async def end_output(self) -> None:
        self.progress_at = asyncio.get_running_loop().time()
        await self._stream.end_output()

    async def close(self) -> None:
        await self.end_output()
        self._on_delivered(self)
        await self._stream.close()


class OutputDelivery:
    """The attached clients of this engine, by container."""

    def __init__(self) -> None:
        self._streams: dict[str, set[WatchedStream]] = {}
        self._changed = asyncio.Event()

    @contextmanager
    def under_way(self, container: str, stream: RawStream) -> Iterator[RawStream]:
        """The client of this stream gets output of the container, until it is closed, or the exit."""

        def delivered(stream: WatchedStream) -> None:
            streams = self._streams.get(container, set())
            streams.discard(stream)
            if not streams:
                self._streams.pop(container, None)
            self._changed.set()

        watched = WatchedStream(stream, delivered)
        self._streams.setdefault(container, set()).add(watched)
        try:
            yield watched
        finally:
            delivered(watched)

    async def wait(self, container: str) -> None:
        """Until no client is under way that takes what it is sent."""
        loop = asyncio.get_running_loop()
        while streams := self._streams.get(container):
            rest = STALL_SECONDS - (loop.time() - max(each.progress_at for each in streams))
            if rest <= 0:
                return
            self._changed.clear()
            try:
                async with asyncio.timeout(rest):
                    await self._changed.wait()
            except TimeoutError:
                pass
