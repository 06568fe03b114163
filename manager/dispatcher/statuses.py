"""Agents' reports on their way to etcd: one committer, and one transaction at a time for all agents of a manager.

While a transaction is under way the next one gathers, so that the rate adapts to etcd's and nobody waits for a timer.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from manager.dispatcher.records import Records
from manager.store.changes import PRESENT, Expect, expect, put
from manager.store.kinds import TASK, TASK_STATUS
from manager.store.tables import View
from manager.store.transaction import batches as split
from shoal import task_states
from shoal.api.v1.task_pb2 import TaskState, TaskStatus
from shoal.errors import Conflict, Timeout, Unavailable

CONDITIONS = 2
"""Of each status in a transaction, which has as many conditions as operations."""

RETRY_SECONDS = 0.5
CONFLICT_SECONDS = 0.01
"""The watch tells the tables in about this time what the conflict was."""

_AGENTS_STATES = frozenset(state for state in TaskState.values() if TaskState.ACCEPTED <= state <= TaskState.REJECTED)
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Batch:
    """Statuses that one session sent together; `done` is called when they are in etcd, or are not to go there."""

    node_id: str
    statuses: tuple[TaskStatus, ...]
    done: Callable[[], None]


def admissible(view: View, batches: Iterable[Batch]) -> dict[str, TaskStatus]:
    """What is to be written, by task id: of tasks of the node that reports, only forward, the last of each. Pure."""
    latest: dict[str, TaskStatus] = {}
    for batch in batches:
        for status in batch.statuses:
            task = view.tasks.get(status.task_id)
            if task is None or task.node_id != batch.node_id or status.state not in _AGENTS_STATES:
                continue
            known = latest.get(task.id) or view.task_status.get(task.id)
            if task_states.forward(known, status):
                latest[task.id] = status
    return latest


class StatusCommitter:
    """Takes batches from any session and writes them, until cancelled."""

    def __init__(self, *, store: Records) -> None:
        self._store = store
        self._waiting: list[Batch] = []
        self._wake = asyncio.Event()

    def submit(self, batch: Batch) -> None:
        """Returns at once."""
        self._waiting.append(batch)
        self._wake.set()

    def discard(self, node_id: str) -> None:
        """Drop what a session that ended left waiting: the agent sends it again, and perhaps to another manager."""
        self._waiting = [batch for batch in self._waiting if batch.node_id != node_id]

    async def run(self) -> None:
        """Commit what is submitted."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            taken, self._waiting = self._waiting, []
            await self._commit(taken)
            for batch in taken:
                batch.done()

    async def _commit(self, batches: list[Batch]) -> None:
        """Again until nothing is left to write; what a conflict or a fault spared is looked at anew."""
        while wanted := admissible(self._store.tables, batches):
            try:
                writes = [put(TASK_STATUS, task_id, status) for task_id, status in wanted.items()]
                for part in split(writes, most=self._store.max_operations // CONDITIONS):
                    expects = [each for write in part.writes for each in self._expects(write.identifier)]
                    await self._store.commit(part.writes, expects=expects)
                return
            except Conflict:
                await asyncio.sleep(CONFLICT_SECONDS)
            except (Unavailable, Timeout) as error:
                _log.warning("%d task statuses wait: %s", len(wanted), error)
                await asyncio.sleep(RETRY_SECONDS)

    def _expects(self, task_id: str) -> tuple[Expect, Expect]:
        """The task must be there, so that no status outlives it; its status must be the one that was looked at."""
        version = self._store.version_of(TASK_STATUS, task_id)
        return expect(TASK, task_id, PRESENT), expect(TASK_STATUS, task_id, version)
