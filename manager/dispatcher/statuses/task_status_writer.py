"""Writes task statuses to etcd: one transaction at a time for all agents of a manager.

While a transaction is in flight the next one is batched, so that the rate adapts to etcd's and nothing waits for a
timer.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Set
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from manager.change_spans import record_running
from manager.store.changes import ABSENT, PRESENT, Expect, expect, put
from manager.store.kinds import TASK, TASK_STATUS
from manager.store.record_store import BatchStore
from manager.store.tables import View
from manager.store.transaction import batches as split
from shoal import task_states
from shoal.api.v1.task_pb2 import TaskState, TaskStatus
from shoal.errors import Conflict, Exhausted, InvalidInput, ShoalError, Timeout, Unavailable
from shoal.fault_points.injection import fault
from shoal.metrics.instruments import Counter, Histogram
from shoal.task_group import TaskGroup
from shoal.telemetry.tracing import now_ns

CONDITIONS = 2
"""At most, for each status in a transaction, which may have as many conditions as operations."""

_STATUSES = Counter("shoal_manager_task_statuses", "Statuses of tasks that agents sent.")
_CONFLICTS = Counter("shoal_manager_task_status_conflicts", "Writes of statuses that were rejected and repeated.")
_WRITE_SECONDS = Histogram(
    "shoal_manager_task_status_write_seconds", "Duration of writing the statuses that had arrived."
)

RETRY_SECONDS = 0.5
CONFLICT_SECONDS = 0.01
"""Within about this time the watch delivers the conflicting change."""
FIRST_ATTEMPTS = 20
"""Before conflicting batches are retried separately."""
SPLIT_ATTEMPTS = 3
QUARANTINE_RETRY_SECONDS = 1.0
QUARANTINE_ATTEMPTS = 30
"""Long enough for a watch that is silent for a while, such as during a stall of etcd."""

_AGENT_STATES = frozenset(state for state in TaskState.values() if TaskState.ACCEPTED <= state <= TaskState.REJECTED)
_REFUSED = (Conflict, Exhausted, InvalidInput)
"""Rejections: a record differs from the tables, or a transaction is larger than etcd accepts."""
_log = logging.getLogger(__name__)


Check = Callable[[], Awaitable[None]]
"""Raises Unavailable: etcd has not answered for a while, and does not now."""


async def always_connected() -> None:
    """A check that finds nothing."""


@dataclass(frozen=True, eq=False)
class Batch:
    """Statuses that one session sent together.

    Attributes:
        done: called when they are in etcd, or need not be written.
        failed: called with the error when they cannot be written.
    """

    node_id: str
    statuses: tuple[TaskStatus, ...]
    done: Callable[[], None]
    failed: Callable[[ShoalError], None]


def statuses_to_write(view: View, batches: Iterable[Batch]) -> dict[str, TaskStatus]:
    """The statuses to write, by task id: of the reporting node's tasks, only forward, the last of each. Pure."""
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

    A batch that cannot be written does not delay the others: it is quarantined, retried separately for a while, and
    then its session is ended, so that the agent reconnects.

    Args:
        check_etcd: asked before each transaction, so that few are left in doubt: whoever reported the end of a task and
            does not know whether it was stored cannot do anything about it. Raises Unavailable: etcd does not answer.
    """

    def __init__(self, *, store: BatchStore, check_etcd: Check = always_connected) -> None:
        self._store = store
        self._check_etcd = check_etcd
        self._waiting: list[Batch] = []
        self._writing: set[Batch] = set()
        self._in_doubt: set[str] = set()
        self._quarantined: dict[str, Batch] = {}
        self._wake = asyncio.Event()

    def submit(self, batch: Batch) -> None:
        """Returns at once."""
        _STATUSES.add(by=len(batch.statuses))
        self._waiting.append(batch)
        self._wake.set()

    def discard(self, node_id: str) -> None:
        """Drop the pending batches of a session that ended: the agent sends them again, perhaps to another manager."""
        self._waiting = [batch for batch in self._waiting if batch.node_id != node_id]
        self._writing = {batch for batch in self._writing if batch.node_id != node_id}
        self._quarantined.pop(node_id, None)

    def withdraw(self, node_id: str) -> bool:
        """As `discard`. Whether it is certain that nothing of them is or will be in etcd."""
        self.discard(node_id)
        return node_id not in self._in_doubt

    async def run(self) -> None:
        """Commit what is submitted."""
        async with TaskGroup() as group:
            while True:
                await self._wake.wait()
                self._wake.clear()
                batches, self._waiting = self._waiting, []
                self._writing = set(batches)
                refused = await self._commit(batches, FIRST_ATTEMPTS)
                for batch in (each for each in batches if each in self._writing):
                    if batch in refused:
                        self._quarantine(batch, group)
                    else:
                        batch.done()

    async def _commit(self, batches: list[Batch], attempts: int) -> list[Batch]:
        """Write the batches, in halves if they are rejected repeatedly; returns those that were not written."""
        for _ in range(attempts):
            began = time.monotonic()
            try:
                await self._write(batches)
                _WRITE_SECONDS.observe(time.monotonic() - began)
                return []
            except _REFUSED:
                _CONFLICTS.add()
                await asyncio.sleep(CONFLICT_SECONDS)
        if len(batches) == 1:
            return batches
        half = len(batches) // 2
        return await self._commit(batches[:half], SPLIT_ATTEMPTS) + await self._commit(batches[half:], SPLIT_ATTEMPTS)

    async def _write(self, batches: list[Batch]) -> None:
        """Repeat until nothing is left to write; after a failure, the rest is computed again.

        Raises:
            Conflict: a record differs from the tables.
            Exhausted, InvalidInput: etcd accepts less at once, which the store now knows.
        """
        while statuses := statuses_to_write(self._store.tables, filter(self._is_pending, batches)):
            began_ns = now_ns()
            # Read now: a task may be deleted while others are written.
            nodes = {task_id: self._store.tables.tasks[task_id].node_id for task_id in statuses}
            try:
                fault("manager.statuses.received")
                await self._check_etcd()
                writes = [put(TASK_STATUS, task_id, status) for task_id, status in statuses.items()]
                most = self._store.max_operations // CONDITIONS
                for part in split(writes, max_operations=most, max_bytes=self._store.max_bytes):
                    expects = [each for write in part.writes for each in self._expects(write.identifier)]
                    with self._doubt({nodes[each.identifier] for each in part.writes}):
                        await self._store.commit(part.writes, expects=expects)
                record_running(self._store.tables, statuses, began_ns)
                fault("manager.statuses.committed")
                return
            except (Unavailable, Timeout) as error:  # including a full etcd, which is also Exhausted
                _log.warning("cannot write %d task statuses yet: %s", len(statuses), error)
                await asyncio.sleep(RETRY_SECONDS)

    def _is_pending(self, batch: Batch) -> bool:
        return batch in self._writing or self._quarantined.get(batch.node_id) is batch

    @contextmanager
    def _doubt(self, node_ids: Set[str]) -> Iterator[None]:
        """Statuses of these nodes are being written: they are in doubt until the outcome is known."""
        known = node_ids - self._in_doubt
        self._in_doubt |= node_ids
        try:
            yield
        except Timeout:
            raise
        except ShoalError:
            self._in_doubt -= known
            raise
        self._in_doubt -= node_ids

    def _expects(self, task_id: str) -> tuple[Expect, ...]:
        """The task must exist, so that no status outlives it; its status must be unchanged.

        A task that has a status exists: the status is deleted with it, or later.
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
