"""The growing log of one container of one's own, over its restarts."""

import asyncio
from collections.abc import AsyncGenerator, Hashable
from contextlib import aclosing

from manager.logs import log_sources
from manager.logs.followed_logs import RETRY_SECONDS, last_ns
from manager.logs.log_reader import LogReader
from manager.logs.log_sources import NodeLogs
from manager.records.container_facts import is_restarting, is_running, newest_task
from manager.store.record_store import RecordReader
from manager.store.tables import View
from shoal.api.v1.streams_pb2 import ReadLogsRequest
from shoal.errors import NotFound, ShoalError
from shoal.logs.encoded_batch import Batch
from shoal.task_states import observed_state


class FollowedContainer:
    """The log of a container that one client follows. A node's stream ends with each run; the next run has another one.

    Args:
        store: where new runs appear.
        reader: the agents.
        request: how many past lines to read.
    """

    def __init__(self, store: RecordReader, reader: LogReader, container_id: str, request: ReadLogsRequest) -> None:
        self._store = store
        self._reader = reader
        self._container_id = container_id
        self._request = request
        self._read_ns = 0
        self._warning = ""
        self._is_absent = False

    async def batches(self) -> AsyncGenerator[Batch | str, None]:
        """Batches of lines; strings are warnings. Ends when the container has ended and is not about to start again."""
        is_first = True
        while True:
            before = _state(self._store.tables, self._container_id)
            may_write = _may_write(self._store.tables, self._container_id)
            for node in log_sources.container_logs(self._store.tables, self._container_id):
                async with aclosing(self._read(node, self._next_request(is_first=is_first, follow=may_write))) as items:
                    async for item in items:
                        yield item
                is_first = False
            if not may_write or (self._request.until_ns and not self._warning):
                return
            if self._warning or self._is_absent:
                await asyncio.sleep(RETRY_SECONDS)
            else:
                await self._wait_for_other(before)

    async def _read(self, node: NodeLogs, request: ReadLogsRequest) -> AsyncGenerator[Batch | str, None]:
        """What there is on the node, and what is written until the present run ends; each problem once."""
        warning, self._is_absent = node.warning, False
        if node.agent is not None:
            try:
                async with aclosing(self._reader.read_logs(node.agent, request)) as batches:
                    async for batch in batches:
                        self._read_ns = max(self._read_ns, last_ns(batch))
                        yield batch
            except NotFound:
                self._is_absent = True  # it is being made, or is removed
            except ShoalError as error:
                warning = f"node {node.hostname}: {error}"
        if warning and warning != self._warning:
            yield warning
        self._warning = warning

    async def _wait_for_other(self, before: Hashable) -> None:
        """Until its state is another one. Nothing is subscribed to while lines are read, which may take days."""
        with self._store.follow() as changes:
            while _state(self._store.tables, self._container_id) == before:
                await anext(changes)

    def _next_request(self, *, is_first: bool, follow: bool) -> ReadLogsRequest:
        """All that was asked for; later what is newer than the last line read, or than the newest run without one."""
        sent = ReadLogsRequest(follow=follow, task_ids=[self._container_id])
        sent.MergeFrom(self._request)
        if is_first:
            return sent
        sent.ClearField("tail")
        sent.ClearField("announce")
        task = newest_task(self._store.tables, self._container_id)
        begun_ns = task.created_at_ms * 1_000_000 if task is not None else 0
        sent.since_ns = max(sent.since_ns, self._read_ns or begun_ns)
        return sent


def _may_write(view: View, container_id: str) -> bool:
    """Whether it runs, or is to run again without its user starting it."""
    container = view.containers.get(container_id)
    return container is not None and (is_running(view, container_id) or is_restarting(view, container))


def _state(view: View, container_id: str) -> Hashable:
    """What decides whether there may be more to read: the newest run and its state."""
    task = newest_task(view, container_id)
    state = observed_state(task, view.task_status.get(task.id)) if task is not None else 0
    return task.id if task is not None else "", state, _may_write(view, container_id)
