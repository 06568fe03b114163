"""Finished logs of several nodes as one, in the order of time."""

import asyncio
import heapq
from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack, aclosing

from manager.control_api.log_sources import Place
from manager.control_api.seams import LogReader
from shoal.api.v1.streams_pb2 import LogRecord, ReadLogsRequest
from shoal.errors import NotFound, ShoalError

RECORD_SECONDS = 5.0
"""How long one node may keep the others waiting."""


class _Feed:
    """One node's records, one at a time."""

    def __init__(self, place: Place, records: AsyncGenerator[LogRecord, None]) -> None:
        self.place = place
        self.records = records
        self.trouble = ""

    async def next(self) -> LogRecord | None:
        """None at the end; `trouble` says whether it came too early."""
        try:
            async with asyncio.timeout(RECORD_SECONDS):
                return await anext(self.records, None)
        except NotFound:
            return None  # the node has cleared its logs of these tasks away
        except TimeoutError:
            self.trouble = f"node {self.place.hostname} does not go on; the rest of its logs is missing"
        except ShoalError as error:
            self.trouble = f"node {self.place.hostname}: {error}"
        return None


async def merged(
    places: Sequence[Place], reader: LogReader, request: ReadLogsRequest
) -> AsyncGenerator[LogRecord | str, None]:
    """All records, the oldest first as far as each node sends its own in order; a text is a warning."""
    async with AsyncExitStack() as stack:
        feeds = []
        for place in places:
            if place.agent is None:
                yield place.trouble
                continue
            records = reader.read(place.agent, _asking(request, place.tasks))
            feeds.append(_Feed(place, await stack.enter_async_context(aclosing(records))))
        firsts = await asyncio.gather(*(feed.next() for feed in feeds))
        for feed in feeds:
            if feed.trouble:
                yield feed.trouble
        heap = [(record.at_ns, number, record) for number, record in enumerate(firsts) if record is not None]
        heapq.heapify(heap)
        while heap:
            _, number, record = heap[0]
            yield record
            following = await feeds[number].next()
            if following is not None:
                heapq.heapreplace(heap, (following.at_ns, number, following))
                continue
            heapq.heappop(heap)
            if feeds[number].trouble:
                yield feeds[number].trouble


def _asking(request: ReadLogsRequest, tasks: Sequence[str]) -> ReadLogsRequest:
    asked = ReadLogsRequest()
    asked.CopyFrom(request)
    asked.task_ids.extend(tasks)
    return asked
