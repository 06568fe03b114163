"""Writes the journal without blocking tasks: entries that cannot be written are kept and retried.

Tasks continue meanwhile. If the agent exits before there is disk space again, its next process recovers an older state,
which the managers' snapshot corrects.
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
    """No method raises because of the disk.

    Args:
        set_problem: takes the reason why the journal cannot be written, one line; empty once it can.
    """

    def __init__(self, journal: Journal, set_problem: Callable[[str], None]) -> None:
        self._journal = journal
        self._report_problem = set_problem
        self._cluster = ClusterDiff()
        self._tasks: dict[str, tuple[JournalEntry, ServiceRevision | None] | None] = {}
        self._epoch: str | None = None
        self._boot_id = ""
        self._problem = ""
        self._has_backlog = asyncio.Event()

    def write_cluster(self, change: ClusterDiff) -> None:
        """Write a change of networks, endpoints, peers and services."""
        self._cluster = self._cluster.merge(change)
        self._write()

    def write(self, entry: JournalEntry, revision: ServiceRevision | None) -> None:
        """Write a task's entry, and the revision that it runs."""
        self._tasks[entry.task.id] = (entry, revision)
        self._write()

    def remove(self, task_id: str) -> None:
        """Remove a task's entry."""
        self._tasks[task_id] = None
        self._write()

    def write_epoch(self, epoch: str) -> None:
        """Write the id of the cluster's epoch."""
        self._epoch = epoch
        self._write()

    def write_boot_id(self, boot_id: str) -> None:
        """Write the id of the host's boot, after all that is pending."""
        self._boot_id = boot_id
        self._write()

    def drop_unused_revisions(self, used: frozenset[str]) -> None:
        """Remove revisions except these ("<service id>/<number>"); on a full disk the next call does it."""
        try:
            self._journal.drop_unused_revisions(used)
        except ShoalError as error:
            _log.warning("could not remove unused revisions from the journal: %s", error)

    async def run(self) -> None:
        """Retry failed writes until cancelled."""
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
        """Write everything pending, the oldest first."""
        if self._epoch is not None:
            self._journal.write_epoch(self._epoch)
            self._epoch = None
        if self._cluster:
            self._journal.write_cluster(self._cluster)
            self._cluster = ClusterDiff()
        for task_id, entry in tuple(self._tasks.items()):
            if entry is None:
                self._journal.remove(task_id)
            else:
                self._journal.write(*entry)
            del self._tasks[task_id]
        if self._boot_id:
            self._journal.write_boot_id(self._boot_id)
            self._boot_id = ""

    def _update_problem(self, problem: str) -> None:
        if problem != self._problem:
            self._problem = problem
            if problem:
                _log.error("%s; tasks keep running, and the journal is written later", problem)
            else:
                _log.info("the journal is up to date again")
            self._report_problem(problem)
