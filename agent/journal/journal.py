"""The journal: what this agent has accepted, so that its next process goes on where it ended.

    <directory>/tasks/<task id>          JournalEntry, written when a task is accepted, runs, is to stop, has ended
    <directory>/revisions/<service>.<n>  ServiceRevision
    <directory>/datapath                 Assignments: networks, endpoints, peers

Each file is replaced whole, by rename, so that a crash of the agent leaves the old or the new one. Nothing is synced
to the disk: what a loss of power takes is at most the newest entries, and with the power went the containers that they
told of. The managers' snapshot brings back what is to run, and says of ended tasks that they have ended.
"""

import errno
import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from google.protobuf.message import DecodeError, Message

from agent.worker.assigned import Assigned, merge, revision_key
from shoal.api.v1.dispatcher_pb2 import Assignments
from shoal.api.v1.journal_pb2 import JournalEntry
from shoal.api.v1.service_pb2 import ServiceRevision
from shoal.errors import Exhausted, Unavailable

M = TypeVar("M", bound=Message)

_DRAFT = ".new"
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Kept:
    """What the journal holds: the entries by task id, and the assignments as the last process knew them."""

    entries: Mapping[str, JournalEntry]
    assigned: Assigned


class Journal:
    """Blocking, since each write is one small file in the page cache.

    Raises (every method):
        Exhausted: the disk is full. Unavailable: the directory cannot be written.
    """

    def __init__(self, directory: Path) -> None:
        self._tasks = directory / "tasks"
        self._revisions = directory / "revisions"
        self._datapath = directory / "datapath"
        self._written: set[str] = set()

    def load(self) -> Kept:
        """Read everything. A file that cannot be read as what it should be is removed and told in the log."""
        for directory in (self._tasks, self._revisions):
            directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        entries = {entry.task.id: entry for entry in _read_all(self._tasks, JournalEntry)}
        revisions = list(_read_all(self._revisions, ServiceRevision))
        datapath = _read(self._datapath, Assignments) or Assignments()
        known = Assignments(snapshot=True, tasks=[entry.task for entry in entries.values()], revisions=revisions)
        known.MergeFrom(datapath)
        self._written = {_name(f"{revision.service_id}/{revision.number}") for revision in revisions}
        return Kept(entries, merge(Assigned(), known))

    def write(self, entry: JournalEntry, revision: ServiceRevision | None) -> None:
        """Keep an entry, and the revision that its task runs."""
        name = _name(revision_key(entry.task))
        if revision is not None and name not in self._written:
            _replace(self._revisions / name, revision)
            self._written.add(name)
        _replace(self._tasks / entry.task.id, entry)

    def remove(self, task_id: str) -> None:
        """Forget a task; no error when it is not there."""
        (self._tasks / task_id).unlink(missing_ok=True)

    def write_datapath(self, assigned: Assigned) -> None:
        """Keep networks, endpoints, peers and services."""
        kept = Assignments(
            networks=assigned.networks.values(),
            endpoints=assigned.endpoints.values(),
            peers=assigned.peers.values(),
            services=assigned.services.values(),
        )
        _replace(self._datapath, kept)

    def drop_unused_revisions(self, used: frozenset[str]) -> None:
        """Remove revisions but these ("<service id>/<number>")."""
        for name in self._written - {_name(key) for key in used}:
            (self._revisions / name).unlink(missing_ok=True)
            self._written.discard(name)


def _name(key: str) -> str:
    return key.replace("/", ".")


def _replace(path: Path, message: Message) -> None:
    draft = path.with_name(path.name + _DRAFT)
    try:
        draft.write_bytes(message.SerializeToString())
        draft.replace(path)
    except OSError as error:
        draft.unlink(missing_ok=True)
        kind = Exhausted if error.errno in (errno.ENOSPC, errno.EDQUOT) else Unavailable
        raise kind(f"cannot write the journal {path}: {error.strerror}") from error


def _read_all(directory: Path, kind: type[M]) -> Iterator[M]:
    for path in sorted(directory.iterdir()):
        if path.name.endswith(_DRAFT):
            path.unlink()
        elif (message := _read(path, kind)) is not None:
            yield message


def _read(path: Path, kind: type[M]) -> M | None:
    try:
        data = path.read_bytes()
        if data:
            return kind.FromString(data)
    except FileNotFoundError:
        return None
    except DecodeError:
        pass
    _log.warning("the journal's file %s is damaged, as a loss of power may do; it is removed", path)
    path.unlink()
    return None
