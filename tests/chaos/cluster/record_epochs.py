"""Epochs of the cluster's records: what faults tell the writer and the recorder before and after etcd goes back."""

from collections.abc import Iterator
from contextlib import contextmanager

from tests.chaos.cluster.etcd_reader import EtcdReader
from tests.chaos.cluster.watch_recorder import WatchRecorder
from tests.chaos.polling import until
from tests.chaos.workload.writer import Writer

_SEEN_SECONDS = 60.0


class RecordEpochs:
    """So that the checker knows of each acknowledged write whether it was taken back."""

    def __init__(self, etcd: EtcdReader, writer: Writer, recorder: WatchRecorder) -> None:
        self._etcd = etcd
        self._writer = writer
        self._recorder = recorder

    @contextmanager
    def all_seen(self) -> Iterator[None]:
        """For as long as the block no write is under way; at its begin all that were made have been seen.

        Raises:
            NoMember: etcd does not answer. TimeoutError: the recorder has not seen them in time.
        """
        with self._writer.paused():
            revision, _ = self._etcd.records()
            if not until(lambda: self._recorder.seen >= revision, _SEEN_SECONDS):
                raise TimeoutError(f"the recorder has seen revision {self._recorder.seen} of {revision}")
            yield

    @contextmanager
    def going_back(self) -> Iterator["EpochBegin"]:
        """What happens to etcd meanwhile is of no epoch; the block says where the next one begins."""
        begin = EpochBegin()
        self._recorder.pause()
        try:
            yield begin
        finally:
            # Also after an error, so that the rest of the run is seen.
            self._recorder.begin_epoch(begin.kept, from_scratch=begin.from_scratch)


class EpochBegin:
    """How an epoch begins.

    Attributes:
        kept: the newest revision of the former one that was not taken back.
        from_scratch: etcd counts its revisions from 1 again.
    """

    def __init__(self) -> None:
        self.kept = 0
        self.from_scratch = False
