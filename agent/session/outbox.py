"""Statuses on their way to a manager: the newest of each task, until a manager says that it is in etcd."""

import asyncio
from itertools import islice

from shoal.api.v1.dispatcher_pb2 import StatusBatch
from shoal.api.v1.task_pb2 import TaskStatus

MAX_STATUSES = 10_000


class Outbox:
    """One batch is under way at a time; what comes meanwhile gathers, so an idle session sends at once."""

    def __init__(self) -> None:
        self._waiting: dict[str, TaskStatus] = {}
        self._sent: dict[str, TaskStatus] = {}
        self._sequence = 0
        self._wake = asyncio.Event()

    def put(self, status: TaskStatus) -> None:
        """Takes the place of an older status of the task that has not been sent yet."""
        self._waiting[status.task_id] = status
        self._wake.set()

    def begin(self) -> None:
        """A new session: what was not acknowledged in the last one is sent again."""
        self._waiting = {**self._sent, **self._waiting}
        self._sent, self._sequence = {}, 0
        self._wake.set()

    def acknowledge(self, sequence: int) -> None:
        """The manager has written the batches up to this one."""
        if sequence >= self._sequence:
            self._sent = {}
            self._wake.set()

    async def next_batch(self) -> StatusBatch:
        """Wait until there is something to send and nothing is under way."""
        while self._sent or not self._waiting:
            self._wake.clear()
            await self._wake.wait()
        self._sent = dict(islice(self._waiting.items(), MAX_STATUSES))
        for task_id in self._sent:
            del self._waiting[task_id]
        self._sequence += 1
        return StatusBatch(sequence=self._sequence, statuses=self._sent.values())
