"""Writing the journal without being held up by it: what a full disk does not take is kept, and written later.

Removing, withdrawing and starting go on. Should the agent end before there is room again, its successor knows an older
state, and the managers' snapshot corrects it.
"""

import asyncio
import logging
from collections.abc import Callable

from agent.journal.journal import Journal
from agent.worker.table_change import TableChange
from shoal.api.v1.journal_pb2 import JournalEntry
from shoal.api.v1.service_pb2 import ServiceRevision
from shoal.errors import ShoalError

RETRY_SECONDS = 5.0

_log = logging.getLogger(__name__)


class JournalKeeper:
    """No method raises for the disk's sake.

    Args:
        tell: takes why the journal cannot be written, one line; empty once it can again.
    """

    def __init__(self, journal: Journal, tell: Callable[[str], None]) -> None:
        self._journal = journal
        self._tell = tell
        self._tables = TableChange()
        self._tasks: dict[str, tuple[JournalEntry, ServiceRevision | None] | None] = {}
        self._trouble = ""
        self._behind = asyncio.Event()

    def write_tables(self, change: TableChange) -> None:
        """Keep what differs of networks, endpoints, peers and services."""
        self._tables = self._tables.then(change)
        self._write()

    def write(self, entry: JournalEntry, revision: ServiceRevision | None) -> None:
        """Keep a task's entry, and the revision that it runs."""
        self._tasks[entry.task.id] = (entry, revision)
        self._write()

    def remove(self, task_id: str) -> None:
        """Forget a task."""
        self._tasks[task_id] = None
        self._write()

    def drop_unused_revisions(self, used: frozenset[str]) -> None:
        """Forget revisions but these ("<service id>/<number>"), unless the disk is full: the next call does as well."""
        try:
            self._journal.drop_unused_revisions(used)
        except ShoalError as error:
            _log.warning("unused revisions stay in the journal: %s", error)

    async def run(self) -> None:
        """Write what could not be written, once there is room again; until cancelled."""
        while True:
            await self._behind.wait()
            await asyncio.sleep(RETRY_SECONDS)
            self._write()

    def _write(self) -> None:
        try:
            self._write_all()
        except ShoalError as error:
            self._behind.set()
            self._note(str(error))
        else:
            self._behind.clear()
            self._note("")

    def _write_all(self) -> None:
        """Everything that waits, the oldest first; what is written waits no more."""
        if self._tables:
            self._journal.write_datapath(self._tables)
            self._tables = TableChange()
        for task_id, entry in tuple(self._tasks.items()):
            if entry is None:
                self._journal.remove(task_id)
            else:
                self._journal.write(*entry)
            del self._tasks[task_id]

    def _note(self, trouble: str) -> None:
        if trouble != self._trouble:
            self._trouble = trouble
            if trouble:
                _log.error("%s; what runs goes on, and is written down later", trouble)
            else:
                _log.info("the journal can be written again, and holds everything")
            self._tell(trouble)
