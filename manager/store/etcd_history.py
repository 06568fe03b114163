"""Detects that etcd was restored or wiped since the tables were loaded. Pure: no I/O.

Three signs, since each alone can be missed. The epoch's record is gone: a snapshot of ours was restored, or etcd was
wiped. etcd's revision is behind what was read before: a backup of etcd's own was restored. A record's is behind: the
same with `--bump-revision`. The fourth, another cluster of etcd, is seen by `manager.etcd.client`.
"""

from collections.abc import Iterable

from manager.store.backend import HistoryReplaced, KeyEvent, Reading
from manager.store.kinds import EPOCH
from manager.store.versioned_tables import VersionedTables


class History:
    """The one that the tables are of.

    Args:
        ledger: keeps them.
    """

    def __init__(self, ledger: VersionedTables) -> None:
        self._versioned = ledger
        self._epoch = ""

    @property
    def epoch(self) -> str:
        """Its id, from the time on when it was seen first; empty before there is a cluster."""
        if not self._epoch:
            self._epoch = next(iter(self._versioned.tables.rows(EPOCH)), "")
        return self._epoch

    @staticmethod
    def check_reading(reading: Reading, *, epoch: str, watched: int) -> None:
        """Look at a reading of the epoch's record.

        Args:
            epoch: the one that was known before it was read.
            watched: up to which revision everything had been seen then.

        Raises:
            HistoryReplaced: it is another history.
        """
        if epoch and EPOCH.key(epoch) not in reading.records:
            raise HistoryReplaced("etcd was restored or wiped: the loaded epoch is missing")
        if reading.revision < watched:
            raise HistoryReplaced(
                f"etcd was restored from an older backup: it is at revision {reading.revision}, but was at {watched}"
            )

    def check_listing(self, events: Iterable[KeyEvent], revision: int) -> None:
        """Look at what was listed at a revision, before it is taken over.

        Raises:
            HistoryReplaced: a record is older than the one that is known and that is not newer than the listing.
        """
        for event in events:
            known = self._versioned.version_at(event.key)
            if event.mod_revision < known <= revision:
                raise HistoryReplaced(
                    f"etcd was restored from an older backup: {event.key.decode()} was "
                    f"changed at revision {known}, but etcd has revision {event.mod_revision}"
                )

    def check_epoch(self) -> None:
        """Look at the tables, after changes of them.

        Raises:
            HistoryReplaced: the epoch's record was deleted.
        """
        if self.epoch and self.epoch not in self._versioned.tables.rows(EPOCH):
            raise HistoryReplaced("the epoch record was deleted: etcd is being wiped or restored")
