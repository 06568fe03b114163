"""Detects that etcd was restored or wiped since the tables were loaded. Pure: no I/O.

Three signs, since each alone can be missed. The epoch's record is missing: a Shoal snapshot was restored, or etcd was
wiped. etcd's revision is lower than before: an etcd backup was restored. A record's revision is lower: the same with
`--bump-revision`. The fourth, a different etcd cluster, is detected by `manager.etcd.client`.
"""

from collections.abc import Iterable

from manager.store.backend import HistoryReplaced, KeyEvent, Reading
from manager.store.kinds import EPOCH
from manager.store.revision_offset import offset_of
from manager.store.versioned_tables import VersionedTables


class History:
    """The history of the records in the tables.

    Args:
        versioned: the tables.
    """

    def __init__(self, versioned: VersionedTables) -> None:
        self._versioned = versioned
        self._epoch = ""

    @property
    def epoch(self) -> str:
        """The epoch's id, once it was loaded; empty before there is a cluster."""
        if not self._epoch:
            self._epoch = next(iter(self._versioned.tables.rows(EPOCH)), "")
        return self._epoch

    @staticmethod
    def check_reading(reading: Reading, *, epoch: str, watched: int) -> None:
        """Check a reading of the epoch's record.

        Args:
            epoch: as known before the reading.
            watched: the revision up to which everything had been delivered before.

        Raises:
            HistoryReplaced: it is of another history.
        """
        if epoch and EPOCH.key(epoch) not in reading.records:
            raise HistoryReplaced("etcd was restored or wiped: the loaded epoch is missing")
        if reading.revision < watched:
            raise HistoryReplaced(
                f"etcd was restored from an older backup: it is at revision {reading.revision}, but was at {watched}"
            )

    def check_listing(self, events: Iterable[KeyEvent], revision: int) -> None:
        """Check a listing before it is applied.

        Raises:
            HistoryReplaced: a record is older than its known version, which is not newer than the listing.
        """
        for event in events:
            known = self._versioned.version_at(event.key)
            if event.mod_revision < known <= revision:
                raise HistoryReplaced(
                    f"etcd was restored from an older backup: {event.key.decode()} was "
                    f"changed at revision {known}, but etcd has revision {event.mod_revision}"
                )

    def check_epoch(self, offset: int) -> None:
        """Check the tables after changes.

        Args:
            offset: of the revisions in the tables.

        Raises:
            HistoryReplaced: the epoch's record was deleted, or another epoch began while the first listing was read.
        """
        epochs = self._versioned.tables.rows(EPOCH)
        if self.epoch and self.epoch not in epochs:
            raise HistoryReplaced("the epoch record was deleted: etcd is being wiped or restored")
        if offset_of(epochs.values()) != offset:
            raise HistoryReplaced("another epoch began: etcd is being restored")
