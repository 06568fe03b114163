"""Writes task statuses to etcd: one transaction at a time for all agents of a manager.

While a transaction is under way the next one gathers, so that the rate adapts to etcd's and nobody waits for a timer.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass

from manager.dispatcher.records import Records
from manager.store.changes import ABSENT, PRESENT, Expect, expect, put
from manager.store.kinds import TASK, TASK_STATUS
from manager.store.tables import View
from manager.store.transaction import batches as split
from shoal import task_states
from shoal.api.v1.task_pb2 import TaskState, TaskStatus
from shoal.errors import Conflict, Exhausted, InvalidInput, ShoalError, Timeout, Unavailable
from shoal.task_group import TaskGroup

CONDITIONS = 2
"""At most, of each status in a transaction, which has as many conditions as operations."""

RETRY_SECONDS = 0.5
CONFLICT_SECONDS = 0.01
"""The watch tells the tables in about this time what the conflict was."""
FIRST_ATTEMPTS = 20
"""Before batches that conflict are tried apart from each other."""
SPLIT_ATTEMPTS = 3
QUARANTINE_RETRY_SECONDS = 1.0
QUARANTINE_ATTEMPTS = 30
"""For a watch that is silent for a while, as with an etcd that stands still."""

_AGENT_STATES = frozenset(state for state in TaskState.values() if TaskState.ACCEPTED <= state <= TaskState.REJECTED)
_REFUSED = (Conflict, Exhausted, InvalidInput)
"""What is refused as it is: a record is not as the tables have it, or a transaction is larger than etcd takes."""
_log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Batch:
    """Statuses that one session sent together.

    Attributes:
        done: called when they are in etcd, or are not to go there.
        failed: called with why when they cannot be written.
    """

    node_id: str
    statuses: tuple[TaskStatus, ...]
    done: Callable[[], None]
    failed: Callable[[ShoalError], None]


def statuses_to_write(view: View, batches: Iterable[Batch]) -> dict[str, TaskStatus]:
    """What is to be written, by task id: of tasks of the node that reports, only forward, the last of each. Pure."""
    latest: dict[str, TaskStatus] = {}
    for batch in batches:
        for status in batch.statuses:
            task = view.tasks.get(status.task_id)
            if task is None or task.node_id != batch.node_id or status.state not in _AGENT_STATES:
                continue
            known = latest.get(task.id) or view.task_status.get(task.id)
            if task_states.is_forward(known, status):
                latest[task.id] = status
    return latest


class TaskStatusWriter:
    """Writes the batches of all sessions until cancelled.

    One that cannot be written keeps no other waiting: it is set aside, tried again by itself for a while, and then its
    session is ended, so that the agent begins anew.
    """

    def __init__(self, *, store: Records) -> None:
        self._store = store
        self._waiting: list[Batch] = []
        self._quarantined: dict[str, Batch] = {}
        self._wake = asyncio.Event()

    def submit(self, batch: Batch) -> None:
        """Returns at once."""
        self._waiting.append(batch)
        self._wake.set()

    def discard(self, node_id: str) -> None:
        """Drop what a session that ended left waiting: the agent sends it again, and perhaps to another manager."""
        self._waiting = [batch for batch in self._waiting if batch.node_id != node_id]
        self._quarantined.pop(node_id, None)

    async def run(self) -> None:
        """Commit what is submitted."""
        async with TaskGroup() as group:
            while True:
                await self._wake.wait()
                self._wake.clear()
                taken, self._waiting = self._waiting, []
                refused = await self._commit(taken, FIRST_ATTEMPTS)
                for batch in taken:
                    if batch in refused:
                        self._quarantine(batch, group)
                    else:
                        batch.done()

    async def _commit(self, batches: list[Batch], attempts: int) -> list[Batch]:
        """Write them, in halves when they are refused again and again; those that are not to be written now."""
        for _ in range(attempts):
            try:
                await self._write(batches)
                return []
            except _REFUSED:
                await asyncio.sleep(CONFLICT_SECONDS)
        if len(batches) == 1:
            return batches
        half = len(batches) // 2
        return await self._commit(batches[:half], SPLIT_ATTEMPTS) + await self._commit(batches[half:], SPLIT_ATTEMPTS)

    async def _write(self, batches: list[Batch]) -> None:
        """Again until nothing is left to write; what a fault spared is looked at anew.

        Raises:
            Conflict: a record is not as the tables have it.
            Exhausted, InvalidInput: etcd takes less at once, which the store has learned now.
        """
        while wanted := statuses_to_write(self._store.tables, batches):
            try:
                writes = [put(TASK_STATUS, task_id, status) for task_id, status in wanted.items()]
                most = self._store.max_operations // CONDITIONS
                for part in split(writes, max_operations=most, max_bytes=self._store.max_bytes):
                    expects = [each for write in part.writes for each in self._expects(write.identifier)]
                    await self._store.commit(part.writes, expects=expects)
                return
            except (Unavailable, Timeout) as error:  # a full etcd, which is an Exhausted too, among them
                _log.warning("cannot write %d task statuses yet: %s", len(wanted), error)
                await asyncio.sleep(RETRY_SECONDS)

    def _expects(self, task_id: str) -> tuple[Expect, ...]:
        """The task must be there, so that no status outlives it; its status must be the one that was looked at.

        One that has a status is there: who deletes it deletes the status with it, or later.
        """
        version = self._store.version_of(TASK_STATUS, task_id)
        unchanged = expect(TASK_STATUS, task_id, version)
        return (unchanged,) if version != ABSENT else (expect(TASK, task_id, PRESENT), unchanged)

    def _quarantine(self, batch: Batch, group: TaskGroup) -> None:
        if batch.node_id in self._quarantined:
            self._give_up(batch)
            return
        self._quarantined[batch.node_id] = batch
        _log.error("etcd rejects task statuses of node %s; retrying them separately", batch.node_id)
        group.create_task(self._retry(batch), name=f"statuses of node {batch.node_id}")

    async def _retry(self, batch: Batch) -> None:
        for _ in range(QUARANTINE_ATTEMPTS):
            await asyncio.sleep(QUARANTINE_RETRY_SECONDS)
            if self._quarantined.get(batch.node_id) is not batch:
                return
            with suppress(*_REFUSED):
                await self._write([batch])
                self._quarantined.pop(batch.node_id, None)
                batch.done()
                return
        if self._quarantined.get(batch.node_id) is batch:
            self._give_up(batch)

    def _give_up(self, batch: Batch) -> None:
        self._quarantined.pop(batch.node_id, None)
        batch.failed(Unavailable("cannot write task statuses: their records changed; reconnect"))
