"""Every change of the cluster's records from a moment on, by a watch of the checker's own that outlives members."""

import base64
import json
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO

import grpc

from manager.etcd.v3 import etcd_pb2 as rpc
from tests.chaos.checks.epochs import FormerEpoch
from tests.chaos.checks.key_history import KeyEvent
from tests.chaos.cluster.etcd_reader import AFTER_PREFIX, PREFIX, EtcdReader

_SILENCE_SECONDS = 4.0
"""After which the watch is opened at another member: etcd says every 5 s that it is alive, and records change each
second."""


class WatchRecorder:
    """A thread that watches. `events` and `former` are safe to read once it is stopped.

    Attributes:
        events: of the epoch that is now.
        former: epochs before it, which ended as etcd went back.
        gaps: revisions at which history was compacted before it was seen: what is between is not known.

    Args:
        members: names, in the order in which they are tried.
        start: first revision of interest.
        copy: file of all events, a line of JSON each.
    """

    def __init__(self, etcd: EtcdReader, members: Sequence[str], *, start: int, copy: Path) -> None:
        self.events: list[KeyEvent] = []
        self.former: list[FormerEpoch] = []
        self.gaps: list[int] = []
        self._lock = threading.Lock()
        self._turns = 0
        self._paused = threading.Event()
        self._etcd = etcd
        self._members = members
        self._next = start
        self._copy = copy
        self._stopping = threading.Event()
        self._call: grpc.Call | None = None
        self._heard = time.monotonic()
        self._threads = [threading.Thread(target=target, daemon=True) for target in (self._watch_all, self._mind)]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self, until: int, seconds: float = 20.0) -> None:
        """Stop once it has seen a revision, or after so long."""
        deadline = time.monotonic() + seconds
        while self._next <= until and time.monotonic() < deadline:
            time.sleep(0.05)
        self._stopping.set()
        self._cancel()
        self._threads[0].join()

    @property
    def seen(self) -> int:
        """The newest revision of an event."""
        return self._next - 1

    def pause(self) -> None:
        """Nothing that comes now is of this epoch; until `begin_epoch`."""
        self._paused.set()
        with self._lock:
            self._turns += 1
        self._cancel()

    def begin_epoch(self, kept: int, *, from_scratch: bool) -> None:
        """Etcd went back.

        Args:
            kept: what happened later than at this revision has not happened.
            from_scratch: etcd counts its revisions from 1 again, and what was kept is written to it once more.
        """
        with self._lock:
            self.former.append(FormerEpoch(self.events, kept))
            self.events = [] if from_scratch else [each for each in self.events if each.revision <= kept]
            self._next = 1 if from_scratch else kept + 1
            with self._copy.open("a") as copy:
                copy.write(json.dumps({"kept": kept, "from_scratch": from_scratch}) + "\n")
        self._paused.clear()

    def _cancel(self) -> None:
        if (call := self._call) is not None:
            call.cancel()

    def _mind(self) -> None:
        while not self._stopping.wait(0.5):
            if time.monotonic() - self._heard > _SILENCE_SECONDS:
                self._heard = time.monotonic()
                self._cancel()

    def _watch_all(self) -> None:
        number = 0
        with self._copy.open("a") as copy:
            while not self._stopping.is_set():
                self._heard = time.monotonic()
                turn = self._turns
                with suppress(grpc.RpcError):
                    for answer in () if self._paused.is_set() else self._watch(self._members[number]):
                        with self._lock:
                            if turn != self._turns:
                                break
                            self._take(answer, copy)
                number = (number + 1) % len(self._members)
                self._stopping.wait(0.2)

    def _watch(self, member: str) -> Iterator[rpc.WatchResponse]:
        create = rpc.WatchCreateRequest(
            key=PREFIX, range_end=AFTER_PREFIX, start_revision=self._next, progress_notify=True
        )
        held = threading.Event()

        def requests() -> Iterator[rpc.WatchRequest]:
            yield rpc.WatchRequest(create_request=create)
            held.wait()

        call = self._etcd.watch_stub(member).Watch(requests())
        self._call = call
        try:
            for answer in call:
                self._heard = time.monotonic()
                if answer.canceled:
                    self._note_compaction(answer)
                    return
                yield answer
        finally:
            held.set()
            call.cancel()

    def _note_compaction(self, answer: rpc.WatchResponse) -> None:
        if answer.compact_revision >= self._next:
            self.gaps.append(answer.compact_revision)
            self._next = answer.compact_revision

    def _take(self, answer: rpc.WatchResponse, copy: IO[str]) -> None:
        now = time.time()
        for event in answer.events:
            kept = event.kv
            if kept.mod_revision < self._next:
                continue
            is_delete = event.type == rpc.Event.DELETE
            made = KeyEvent(
                kept.mod_revision, kept.key.decode(), None if is_delete else kept.value, kept.create_revision, now
            )
            self.events.append(made)
            copy.write(event_line(made))
        copy.flush()
        if answer.events:
            self._next = max(self._next, answer.events[-1].kv.mod_revision + 1)


def event_line(event: KeyEvent) -> str:
    """A line of a recorder's file."""
    value = None if event.value is None else base64.b64encode(event.value).decode()
    document = {"revision": event.revision, "key": event.key, "at": round(event.at, 3), "value": value}
    return json.dumps({**document, "created": event.create_revision}) + "\n"


def read_events(path: Path) -> Iterator[KeyEvent]:
    """Of a file that a recorder has written; of all epochs, one after the other."""
    for line in path.read_text().splitlines():
        each = json.loads(line)
        if "kept" in each:
            continue
        value = None if each["value"] is None else base64.b64decode(each["value"])
        yield KeyEvent(each["revision"], each["key"], value, each["created"], each["at"])
