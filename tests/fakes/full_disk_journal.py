"""A journal on a disk that runs full."""

from agent.assignments.cluster_diff import ClusterDiff
from agent.journal.journal import Journal
from shoal.api.v1.journal_pb2 import JournalEntry
from shoal.api.v1.service_pb2 import ServiceRevision
from shoal.errors import Exhausted


class JournalOnSmallDisk(Journal):
    """Takes nothing while `full`."""

    full = False

    def write(self, entry: JournalEntry, revision: ServiceRevision | None) -> None:
        self._need_room()
        super().write(entry, revision)

    def remove(self, task_id: str) -> None:
        self._need_room()
        super().remove(task_id)

    def write_epoch(self, epoch: str) -> None:
        self._need_room()
        super().write_epoch(epoch)

    def write_cluster(self, change: ClusterDiff) -> None:
        self._need_room()
        super().write_cluster(change)

    def drop_unused_revisions(self, used: frozenset[str]) -> None:
        self._need_room()
        super().drop_unused_revisions(used)

    def _need_room(self) -> None:
        if self.full:
            raise Exhausted("cannot write the journal: No space left on device")
