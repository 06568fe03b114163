"""Writes the journal without blocking tasks: entries that cannot be written are kept and retried.

Removing, withdrawing and starting go on. Should the agent end before there is room again, its successor knows an older
state, and the managers' snapshot corrects it.
"""

import asyncio
import logging
from collections.abc import Callable

from agent.assignments.cluster_diff import ClusterDiff
from agent.journal.journal import Journal
from shoal.api.v1.journal_pb2 import JournalEntry
from shoal.api.v1.service_pb2 import ServiceRevision
from shoal.errors import ShoalError

RETRY_SECONDS = 5.0

_log = logging.getLogger(__name__)


class JournalWriter:
    """No method raises for the disk's sake.

    Args:
        set_problem: takes why the journal cannot be written, one line; empty once it can again.
    """

    def __init__(self, journal: Journal, set_problem: Callable[[str], None]) -> None:
        self._journal = journal
        self._report_problem = set_problem
        self._cluster = ClusterDiff()
        self._tasks: dict[str, tuple[JournalEntry, ServiceRevision | None] | None] = {}
        self._problem = ""
        self._has_backlog = asyncio.Event()

    def write_cluster(self, change: ClusterDiff) -> None:
        """Keep what differs of networks, endpoints, peers and services."""
        self._cluster = self._cluster.merge(change)
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
            _log.warning("could not remove unused revisions from the journal: %s", error)

    async def run(self) -> None:
        """Write what could not be written, once there is room again; until cancelled."""
        while True:
            await self._has_backlog.wait()
            await asyncio.sleep(RETRY_SECONDS)
            self._write()

    def _write(self) -> None:
        try:
            self._write_all()
        except ShoalError as error:
            self._has_backlog.set()
            self._update_problem(str(error))
        else:
            self._has_backlog.clear()
            self._update_problem("")

    def _write_all(self) -> None:
        """Everything that waits, the oldest first; what is written waits no more."""
        if self._cluster:
            self._journal.write_cluster(self._cluster)
            self._cluster = ClusterDiff()
        for task_id, entry in tuple(self._tasks.items()):
            if entry is None:
                self._journal.remove(task_id)
            else:
                self._journal.write(*entry)
            del self._tasks[task_id]

    def _update_problem(self, problem: str) -> None:
        if problem != self._problem:
            self._problem = problem
            if problem:
                _log.error("%s; tasks keep running, and the journal is written later", problem)
            else:
                _log.info("the journal is up to date again")
            self._report_problem(problem)
