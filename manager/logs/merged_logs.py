"""Finished logs of several nodes merged in order of time."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack, aclosing

from manager.logs.log_reader import LogReader
from manager.logs.log_sources import NodeLogs
from shoal.api.v1.streams_pb2 import ReadLogsRequest
from shoal.errors import NotFound, ShoalError
from shoal.logs.encoded_batch import Batch
from shoal.logs.ordered_logs import in_time_order

READ_AHEAD_BYTES = 2 << 20
"""Of all nodes together, for one client."""

BATCH_SECONDS = 5.0
"""How long one node may delay the others."""


class _NodeStream:
    """The log stream of one node. An error ends it; `warning` then says what is missing."""

    def __init__(self, node: NodeLogs, batches: AsyncGenerator[Batch, None]) -> None:
        self._node = node
        self._batches = batches
        self.warning = ""

    def __aiter__(self) -> "_NodeStream":
        return self

    async def __anext__(self) -> Batch:
        try:
            async with asyncio.timeout(BATCH_SECONDS):
                return await anext(self._batches)
        except NotFound:
            pass  # the node has deleted its logs of these tasks
        except TimeoutError:
            self.warning = f"node {self._node.hostname} stopped responding; the rest of its logs is missing"
        except ShoalError as error:
            self.warning = f"node {self._node.hostname}: {error}"
        raise StopAsyncIteration


async def merged_logs(
    nodes: Sequence[NodeLogs], reader: LogReader, request: ReadLogsRequest
) -> AsyncGenerator[Batch | str, None]:
    """All lines, the oldest first provided that each node sends its own in order; strings are warnings."""
    async with AsyncExitStack() as stack:
        feeds = []
        for node in nodes:
            if node.agent is None:
                yield node.warning
                continue
            batches = reader.read_logs(node.agent, _node_request(request, node.tasks, READ_AHEAD_BYTES // len(nodes)))
            feeds.append(_NodeStream(node, await stack.enter_async_context(aclosing(batches))))
        async for batch in await stack.enter_async_context(aclosing(in_time_order(feeds))):
            yield batch
        for feed in feeds:
            if feed.warning:
                yield feed.warning


def _node_request(request: ReadLogsRequest, tasks: Sequence[str], batch_bytes: int) -> ReadLogsRequest:
    sent = ReadLogsRequest(batch_bytes=max(1, batch_bytes))
    sent.MergeFrom(request)
    sent.task_ids.extend(tasks)
    return sent
