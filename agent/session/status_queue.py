"""Queue of task statuses: the newest of each task, until a manager acknowledges that it is stored.

What others wait for (a task runs, or has ended) goes at once, unless a batch has just gone: of many tasks that start
together, those of a moment share a batch. The steps before it wait a little longer: most are overtaken by the next one,
and each batch that is not sent is spared a write in etcd, a plan, and its way back to everybody who watches.
"""

import asyncio
from collections.abc import Iterable, Iterator
from contextlib import suppress

from shoal.api.v1.dispatcher_pb2 import StatusBatch
from shoal.api.v1.task_pb2 import TaskState, TaskStatus

MAX_STATUSES = 10_000
MAX_BYTES = 512 << 10
"""Of a batch, about: managers take messages of 1 MiB at most."""
MAX_DELAY_SECONDS = 0.1
"""A step before RUNNING is sent after this time at the latest: soon enough for who looks on."""
MIN_INTERVAL_SECONDS = 0.025
"""Between two batches."""


class StatusQueue:
    """One batch is under way at a time; what comes meanwhile gathers."""

    def __init__(self) -> None:
        self._waiting: dict[str, TaskStatus] = {}
        self._sent: dict[str, TaskStatus] = {}
        self._sequence = 0
        self._wake = asyncio.Event()
        self._urgent = asyncio.Event()
        self._not_before = 0.0

    def put(self, status: TaskStatus) -> None:
        """Takes the place of an older status of the task that has not been sent yet."""
        self._waiting[status.task_id] = status
        self._wake.set()
        if status.state >= TaskState.RUNNING:
            self._urgent.set()

    def start_session(self) -> None:
        """A new session: what was not acknowledged in the last one is sent again."""
        self._waiting = {**self._sent, **self._waiting}
        self._sent, self._sequence = {}, 0
        self._wake.set()
        self._urgent.set()

    def acknowledge(self, sequence: int) -> None:
        """The manager has written the batches up to this one."""
        if sequence >= self._sequence:
            self._sent = {}
            self._wake.set()

    async def next_batch(self) -> StatusBatch:
        """Wait until nothing is under way and there is something to send, for the pause's time or the patience's."""
        await self._wait_for_statuses()
        loop = asyncio.get_running_loop()
        with suppress(TimeoutError):
            async with asyncio.timeout(MAX_DELAY_SECONDS):
                await self._urgent.wait()
        await asyncio.sleep(self._not_before - loop.time())
        await self._wait_for_statuses()
        self._not_before = loop.time() + MIN_INTERVAL_SECONDS
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
    """As many as a batch may have, at least one."""
    size = 0
    for number, (task_id, status) in enumerate(statuses):
        size += status.ByteSize()
        if number and (number == MAX_STATUSES or size > MAX_BYTES):
            return
        yield task_id, status
