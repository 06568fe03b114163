"""Followed logs: lines as they are written, of tasks that start and stop meanwhile."""

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import aclosing

from manager.logs import log_sources
from manager.logs.log_reader import LogReader
from manager.logs.log_sources import LogTarget, NodeLogs
from manager.store.record_store import RecordReader
from shoal.api.v1.streams_pb2 import ReadLogsRequest
from shoal.errors import NotFound, ShoalError
from shoal.logs.encoded_batch import Batch, lines_of
from shoal.logs.log_lines import parse_line
from shoal.task_group import TaskGroup
from shoal.task_states import is_terminal, observed_state

_log = logging.getLogger(__name__)

QUEUED_BATCHES = 8
"""Batches (of a quarter of a megabyte) read ahead of a slow client, of all nodes together; then agents wait."""
RETRY_SECONDS = 1.0

_END = object()


class FollowedLogs:
    """The growing logs that one client follows.

    Args:
        store: where new tasks appear.
        reader: the agents.
        target: what to read the logs of.
        request: how many past lines to read.
    """

    def __init__(self, *, store: RecordReader, reader: LogReader, target: LogTarget, request: ReadLogsRequest) -> None:
        self._store = store
        self._reader = reader
        self._target = target
        self._request = request
        self._queue: asyncio.Queue[Batch | str | object] = asyncio.Queue(QUEUED_BATCHES)
        self._started: set[str] = set()

    async def batches(self) -> AsyncGenerator[Batch | str, None]:
        """Batches of lines; strings are warnings. Ends when no more lines can follow."""
        work = asyncio.create_task(self._run(), name="logs")
        try:
            while (item := await self._queue.get()) is not _END:
                assert isinstance(item, Batch | str)
                yield item
            await work
        finally:
            work.cancel()
            await asyncio.gather(work, return_exceptions=True)

    async def _run(self) -> None:
        """Gather, then mark the end; not when cancelled, since then the queue is not read any more."""
        try:
            await self._gather()
        except Exception:
            await self._queue.put(_END)
            raise
        await self._queue.put(_END)

    async def _gather(self) -> None:
        """Read all tasks, existing and new ones, until the target is gone."""
        with self._store.follow() as changes:
            async with TaskGroup() as group:
                self._start_readers(group)
                while not self._is_finished():
                    await anext(changes)
                    self._start_readers(group)

    def _start_readers(self, group: TaskGroup) -> None:
        """Start reading new tasks: one stream per node for those that appear together."""
        view = self._store.tables
        new = [task for task in log_sources.tasks_of(view, self._target) if task.id not in self._started]
        for node in log_sources.by_node(view, new):
            self._started.update(node.tasks)
            group.create_task(self._read(node), name=f"logs on {node.hostname}")

    def _is_finished(self) -> bool:
        view = self._store.tables
        ends_by_itself = bool(self._request.until_ns) or self._target.task_id in self._started
        return ends_by_itself or log_sources.is_gone(view, self._target)

    async def _read(self, node: NodeLogs) -> None:
        """Read the logs of one node's tasks to their end; reconnect while the tasks still run."""
        since_ns, warned = self._request.since_ns, False
        while True:
            warning = node.warning
            if node.agent is not None:
                request = ReadLogsRequest()
                request.CopyFrom(self._request)
                request.follow, request.since_ns = True, since_ns
                request.task_ids.extend(node.tasks)
                try:
                    async with aclosing(self._reader.read_logs(node.agent, request)) as batches:
                        async for batch in batches:
                            since_ns, warned = max(since_ns, last_ns(batch)), False
                            await self._queue.put(batch)
                    return
                except NotFound:
                    return
                except ShoalError as error:
                    warning = f"node {node.hostname}: {error}"
            if not warned:
                await self._queue.put(warning)
                warned = True
            if not self._has_live_tasks(node):
                return
            await asyncio.sleep(RETRY_SECONDS)
            node = self._refreshed(node)

    def _has_live_tasks(self, node: NodeLogs) -> bool:
        view = self._store.tables
        tasks = (view.tasks.get(identifier) for identifier in node.tasks)
        return any(
            task is not None and not is_terminal(observed_state(task, view.task_status.get(task.id))) for task in tasks
        )

    def _refreshed(self, node: NodeLogs) -> NodeLogs:
        """The same tasks, at their node's present address."""
        view = self._store.tables
        tasks = [view.tasks[identifier] for identifier in node.tasks if identifier in view.tasks]
        found = log_sources.by_node(view, tasks)
        return found[0] if found else node


def last_ns(batch: Batch) -> int:
    """When the last line of a batch was written; 0 if it is not a valid line."""
    *_, lines = b"", *lines_of(batch)
    last = parse_line(lines[lines.rfind(b"\n", 0, -1) + 1 :])
    return last.time_ns if last is not None else 0
