"""Logs as they are written, of tasks that come and go."""

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import aclosing

from manager.control_api import log_sources
from manager.control_api.log_sources import Place, Target
from manager.control_api.seams import LogReader, Records
from shoal.api.v1.streams_pb2 import LogBatch, ReadLogsRequest
from shoal.errors import NotFound, ShoalError
from shoal.log_lines import parse_line
from shoal.task_group import TaskGroup
from shoal.task_states import is_terminal, observed

_log = logging.getLogger(__name__)

WAITING_BATCHES = 8
"""Of a quarter of a megabyte, read ahead of a slow user, of all nodes together; then the agents wait."""
AGAIN_SECONDS = 1.0

_ENDED = object()


class Following:
    """One user's view of growing logs.

    Args:
        store: where new tasks are seen.
        reader: the agents.
        target: whose logs.
        request: how much of the past.
    """

    def __init__(self, *, store: Records, reader: LogReader, target: Target, request: ReadLogsRequest) -> None:
        self._store = store
        self._reader = reader
        self._target = target
        self._request = request
        self._queue: asyncio.Queue[LogBatch | str | object] = asyncio.Queue(WAITING_BATCHES)
        self._known: set[str] = set()

    async def batches(self) -> AsyncGenerator[LogBatch | str, None]:
        """Lines as they come, texts as warnings; ends when nothing can come any more."""
        work = asyncio.create_task(self._work(), name="logs")
        try:
            while (item := await self._queue.get()) is not _ENDED:
                assert isinstance(item, LogBatch | str)
                yield item
            await work
        finally:
            work.cancel()
            await asyncio.gather(work, return_exceptions=True)

    async def _work(self) -> None:
        """Gather, and mark the end; not when cancelled, as then nobody empties the queue."""
        try:
            await self._gather()
        except Exception:
            await self._queue.put(_ENDED)
            raise
        await self._queue.put(_ENDED)

    async def _gather(self) -> None:
        """Read every task that is there, and those that come, until the target is gone."""
        with self._store.follow() as changes:
            async with TaskGroup() as group:
                self._begin(group)
                while not self._over():
                    await anext(changes)
                    self._begin(group)

    def _begin(self, group: TaskGroup) -> None:
        """Start reading what has not been read yet: one stream a node for those that are there together."""
        view = self._store.tables
        new = [task for task in log_sources.tasks_of(view, self._target) if task.id not in self._known]
        for place in log_sources.places(view, new):
            self._known.update(place.tasks)
            group.create_task(self._read(place), name=f"logs on {place.hostname}")

    def _over(self) -> bool:
        view = self._store.tables
        return self._target.task_id in self._known or log_sources.is_gone(view, self._target)

    async def _read(self, place: Place) -> None:
        """One node's tasks to their end; begins again where it broke off while they still run there."""
        since_ns, told = self._request.since_ns, False
        while True:
            trouble = place.trouble
            if place.agent is not None:
                asked = ReadLogsRequest()
                asked.CopyFrom(self._request)
                asked.follow, asked.since_ns = True, since_ns
                asked.task_ids.extend(place.tasks)
                try:
                    async with aclosing(self._reader.read(place.agent, asked)) as batches:
                        async for batch in batches:
                            since_ns, told = max(since_ns, _last_ns(batch)), False
                            await self._queue.put(batch)
                    return
                except NotFound:
                    return
                except ShoalError as error:
                    trouble = f"node {place.hostname}: {error}"
            if not told:
                await self._queue.put(trouble)
                told = True
            if not self._alive(place):
                return
            await asyncio.sleep(AGAIN_SECONDS)
            place = self._again(place)

    def _alive(self, place: Place) -> bool:
        view = self._store.tables
        tasks = (view.tasks.get(identifier) for identifier in place.tasks)
        return any(
            task is not None and not is_terminal(observed(task, view.task_status.get(task.id))) for task in tasks
        )

    def _again(self, place: Place) -> Place:
        """The same tasks, at their node's present address."""
        view = self._store.tables
        tasks = [view.tasks[identifier] for identifier in place.tasks if identifier in view.tasks]
        found = log_sources.places(view, tasks)
        return found[0] if found else place


def _last_ns(batch: LogBatch) -> int:
    """When the last line of a batch was written; 0 where that is no line."""
    lines = batch.runs[-1].lines if batch.runs else b""
    last = parse_line(lines[lines.rfind(b"\n", 0, -1) + 1 :])
    return last.time_ns if last is not None else 0
