"""Finished logs of several nodes as one, in the order of time."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack, aclosing

from manager.control_api.log_sources import Place
from manager.control_api.seams import LogReader
from shoal.api.v1.streams_pb2 import LogBatch, ReadLogsRequest
from shoal.errors import NotFound, ShoalError
from shoal.log_merge import in_time_order

READ_AHEAD_BYTES = 2 << 20
"""Of all nodes together, for one user."""

BATCH_SECONDS = 5.0
"""How long one node may keep the others waiting."""


class _Feed:
    """One node's lines. What goes wrong is its end; `trouble` says that it came too early."""

    def __init__(self, place: Place, batches: AsyncGenerator[LogBatch, None]) -> None:
        self._place = place
        self._batches = batches
        self.trouble = ""

    def __aiter__(self) -> "_Feed":
        return self

    async def __anext__(self) -> LogBatch:
        try:
            async with asyncio.timeout(BATCH_SECONDS):
                return await anext(self._batches)
        except NotFound:
            pass  # the node has cleared its logs of these tasks away
        except TimeoutError:
            self.trouble = f"node {self._place.hostname} does not go on; the rest of its logs is missing"
        except ShoalError as error:
            self.trouble = f"node {self._place.hostname}: {error}"
        raise StopAsyncIteration


async def merged(
    places: Sequence[Place], reader: LogReader, request: ReadLogsRequest
) -> AsyncGenerator[LogBatch | str, None]:
    """All lines, the oldest first as far as each node sends its own in order; a text is a warning."""
    async with AsyncExitStack() as stack:
        feeds = []
        for place in places:
            if place.agent is None:
                yield place.trouble
                continue
            batches = reader.read(place.agent, _asking(request, place.tasks, READ_AHEAD_BYTES // len(places)))
            feeds.append(_Feed(place, await stack.enter_async_context(aclosing(batches))))
        async for batch in await stack.enter_async_context(aclosing(in_time_order(feeds))):
            yield batch
        for feed in feeds:
            if feed.trouble:
                yield feed.trouble


def _asking(request: ReadLogsRequest, tasks: Sequence[str], batch_bytes: int) -> ReadLogsRequest:
    asked = ReadLogsRequest(batch_bytes=max(1, batch_bytes))
    asked.MergeFrom(request)
    asked.task_ids.extend(tasks)
    return asked
