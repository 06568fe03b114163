"""The logs call: of a service, task, container or stack, from all nodes that have them."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import cast

from manager.logs import log_sources
from manager.logs.followed_container import FollowedContainer
from manager.logs.followed_logs import FollowedLogs
from manager.logs.log_reader import LogReader
from manager.logs.merged_logs import merged_logs
from manager.store.record_store import RecordReader
from shoal.api.v1.control_pb2 import LogsRequest, LogsResponse
from shoal.api.v1.streams_pb2 import ReadLogsRequest
from shoal.encoded_message import EncodedMessage, field_head
from shoal.errors import Exhausted
from shoal.logs.encoded_batch import Batch, EncodedBatch, task_ids
from shoal.rpc.caller import Caller

MAX_READERS = 512
"""Calls at a time: each holds up to a few megabytes while its client does not read much log, and little while it waits
for new lines."""


class LogHandler:
    """The logs' call.

    Args:
        store: the records.
        reader: the agents.
    """

    def __init__(self, *, store: RecordReader, reader: LogReader) -> None:
        self._store = store
        self._reader = reader
        self._readers = 0

    async def read(self, request: LogsRequest, caller: Caller) -> AsyncGenerator[LogsResponse, None]:
        """Lines, with the source before the first of each task; missing lines are reported as warnings.

        Raises:
            NotFound: no such service or task. Refused: its logs are not kept. Exhausted: too many log streams are open.
        """
        if self._readers >= MAX_READERS:
            raise Exhausted(
                f"{self._readers} log streams are open on this manager, which is the maximum; try again later"
            )
        self._readers += 1
        try:
            async with aclosing(self._responses(request)) as responses:
                async for response in responses:
                    yield response
        finally:
            self._readers -= 1

    async def _responses(self, request: LogsRequest) -> AsyncGenerator[LogsResponse, None]:
        named: set[str] = set()
        async with aclosing(self._items(request)) as items:
            async for item in items:
                if isinstance(item, str):
                    yield LogsResponse(warning=item)
                    continue
                for task_id in task_ids(item):
                    if task_id not in named:
                        named.add(task_id)
                        yield LogsResponse(source=log_sources.source_of(self._store.tables, task_id))
                yield response_of(item)

    def _items(self, request: LogsRequest) -> AsyncGenerator[Batch | str, None]:
        view = self._store.tables
        find, name = (
            (log_sources.find_stack, request.stack) if request.stack else (log_sources.find_target, request.target)
        )
        target = find(view, name)
        log_sources.require_log(view, target)
        sent = ReadLogsRequest(since_ns=request.since_ns, until_ns=request.until_ns)
        if request.HasField("tail"):
            sent.tail = request.tail
        if target.container_id and request.follow:
            sent.announce = request.announce
            followed = FollowedContainer(self._store, self._reader, target.container_id, sent)
            return followed.batches()
        if target.container_id:
            return merged_logs(log_sources.container_logs(view, target.container_id), self._reader, sent)
        if request.follow:
            return FollowedLogs(store=self._store, reader=self._reader, target=target, request=sent).batches()
        return merged_logs(log_sources.by_node(view, log_sources.tasks_of(view, target)), self._reader, sent)


def response_of(batch: Batch) -> LogsResponse:
    """The response with the batch; an `EncodedMessage` stands for it if the batch came encoded."""
    if not isinstance(batch, EncodedBatch):
        return LogsResponse(batch=batch)
    head = field_head(LogsResponse.BATCH_FIELD_NUMBER, len(batch.encoded))
    return cast(LogsResponse, EncodedMessage(head + batch.encoded))
