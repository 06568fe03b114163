"""Queue of task statuses: the newest of each task, until a manager acknowledges that it is stored.

Statuses that others wait for (a task is running, or has ended) are sent at once, unless batches were just sent: tasks
that start at the same moment share a batch. Earlier states wait a little longer: most are superseded by the next one,
and each batch that is not sent saves a write to etcd, a planner pass, and events to all watchers.
"""

import asyncio
from collections.abc import Iterable, Iterator
from contextlib import suppress

from shoal.api.v1.dispatcher_pb2 import StatusBatch
from shoal.api.v1.task_pb2 import TaskState, TaskStatus
from shoal.task_states import is_terminal

MAX_STATUSES = 10_000
MAX_BYTES = 512 << 10
"""Approximate limit of a batch: managers accept messages of up to 1 MiB."""
MAX_DELAY_SECONDS = 0.1
"""A state before RUNNING is sent after this time at the latest: soon enough for users who watch."""
MIN_INTERVAL_SECONDS = 0.025
"""Between two batches, on average."""
BATCHES_AT_ONCE = 2
"""After a quiet time without that interval: a short program's start, and its end."""


class StatusQueue:
    """One batch is in flight at a time; statuses that arrive meanwhile are collected."""

    def __init__(self) -> None:
        self._waiting: dict[str, TaskStatus] = {}
        self._in_doubt: set[str] = set()
        self._sent: dict[str, TaskStatus] = {}
        self._sequence = 0
        self._wake = asyncio.Event()
        self._urgent = asyncio.Event()
        self._paid_until = 0.0

    def put(self, status: TaskStatus) -> None:
        """Add a status; it replaces an older status of the task that has not been sent yet."""
        self._waiting[status.task_id] = status
        self._wake.set()
        if status.state >= TaskState.RUNNING:
            self._urgent.set()

    def start_session(self) -> None:
        """Start a new session: statuses that were not acknowledged in the last one are sent again."""
        self._waiting = {**self._sent, **self._waiting}
        self._sent, self._sequence = {}, 0
        self._wake.set()
        self._urgent.set()

    def end_session(self) -> list[str]:
        """End a session. Ids of the tasks whose final statuses are for certain not stored anywhere: they are forgotten.

        An end that was sent and not acknowledged may have been stored, until a later session acknowledges it.
        """
        self._in_doubt.update(task_id for task_id, status in self._sent.items() if is_terminal(status.state))
        return self._forget_unsent()

    def acknowledge(self, sequence: int) -> list[TaskStatus]:
        """The manager has stored the batches up to this one; the statuses of the last one."""
        if sequence < self._sequence:
            return []
        stored, self._sent = list(self._sent.values()), {}
        self._in_doubt.difference_update(each.task_id for each in stored)
        self._wake.set()
        return stored

    def dropped(self) -> list[str]:
        """The manager has dropped what it has not acknowledged. Returns as `end_session`."""
        self._waiting = {**self._sent, **self._waiting}
        self._sent = {}
        return self._forget_unsent()

    def _forget_unsent(self) -> list[str]:
        final = (task_id for task_id, status in self._waiting.items() if is_terminal(status.state))
        unsent = [task_id for task_id in final if task_id not in self._in_doubt]
        for task_id in unsent:
            del self._waiting[task_id]
        return unsent

    async def next_batch(self) -> StatusBatch:
        """Wait until no batch is in flight and there are statuses to send, observing the delays."""
        await self._wait_for_statuses()
        loop = asyncio.get_running_loop()
        with suppress(TimeoutError):
            async with asyncio.timeout(MAX_DELAY_SECONDS):
                await self._urgent.wait()
        await asyncio.sleep(self._paid_until - (BATCHES_AT_ONCE - 1) * MIN_INTERVAL_SECONDS - loop.time())
        await self._wait_for_statuses()
        self._paid_until = max(self._paid_until, loop.time()) + MIN_INTERVAL_SECONDS
        self._urgent.clear()
        self._sent = dict(_first(self._waiting.items()))
        for task_id in self._sent:
            del self._waiting[task_id]
        self._sequence += 1
        return StatusBatch(sequence=self._sequence, statuses=self._sent.values())

    async def _wait_for_statuses(self) -> None:
        while self._sent or not self._waiting:
            self._wake.clear()
            await self._wake.wait()


def _first(statuses: Iterable[tuple[str, TaskStatus]]) -> Iterator[tuple[str, TaskStatus]]:
    """As many as fit into a batch, at least one."""
    size = 0
    for number, (task_id, status) in enumerate(statuses):
        size += status.ByteSize()
        if number and (number == MAX_STATUSES or size > MAX_BYTES):
            return
        yield task_id, status
