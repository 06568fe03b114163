"""The journal: what this agent has accepted, so that its next process can continue.

    <directory>/records    named records, each a message of shoal.api.v1:
        task/<task id>                       JournalEntry, written when a task is accepted, is running, must stop, has
        ended revision/<service id>/<number>       ServiceRevision
        epoch/cluster                        `AssignedState.epoch`, UTF-8
        boot/host                            id of the host's boot in which all this was written, UTF-8
        network/…, endpoint/…, peer/…, service/…   input of the datapath, by the keys of `Assignments`

Nothing is synced to disk: a crash of the agent loses nothing, and a power loss at most the newest records, together
with the containers that they describe. The managers' snapshot restores what must run, and which tasks have ended.
"""

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from google.protobuf.message import DecodeError, Message

from agent.assignments.assigned_state import AssignedState, revision_key
from agent.assignments.cluster_diff import ClusterDiff
from agent.journal.record_copy import RecordCopy
from agent.journal.record_log import RecordLog
from shoal.api.v1.dispatcher_pb2 import Assignments, NetworkAssignment, Peer, ServiceEndpoint, TaskEndpoint
from shoal.api.v1.journal_pb2 import JournalEntry
from shoal.api.v1.service_pb2 import ServiceRevision

M = TypeVar("M", bound=Message)

_EPOCH = "epoch/cluster"
_BOOT = "boot/host"
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class RecoveredState:
    """Content of the journal.

    Attributes:
        entries: by task id.
        assigned: the last process's assigned state.
        boot_id: of the host in that process's time; empty: not written.
    """

    entries: Mapping[str, JournalEntry]
    assigned: AssignedState
    boot_id: str = ""


class Journal:
    """Blocking, since each write is a few hundred bytes to the page cache. Call `load` first.

    Args:
        copy: read where the file has lost something.
    Raises (every method):
        Exhausted: the disk is full. Unavailable: the directory cannot be written.
    """

    def __init__(self, directory: Path, copy: RecordCopy | None = None) -> None:
        self._records = RecordLog(directory / "records", copy)
        self._revisions: set[str] = set()

    @property
    def size_bytes(self) -> int:
        """Of its file."""
        return self._records.size_bytes

    def load(self) -> RecoveredState:
        """Read everything. Corrupt records are dropped and logged."""
        records = self._records.load()
        entries = {entry.task.id: entry for entry in _read(records, "task", JournalEntry)}
        known = Assignments(
            snapshot=True,
            epoch=records.get(_EPOCH, b"").decode(errors="replace"),
            tasks=[entry.task for entry in entries.values()],
            revisions=_read(records, "revision", ServiceRevision),
            networks=_read(records, "network", NetworkAssignment),
            endpoints=_read(records, "endpoint", TaskEndpoint),
            peers=_read(records, "peer", Peer),
            services=_read(records, "service", ServiceEndpoint),
        )
        self._revisions = {f"{revision.service_id}/{revision.number}" for revision in known.revisions}
        assigned = AssignedState()
        assigned.apply(known)
        return RecoveredState(entries, assigned, records.get(_BOOT, b"").decode(errors="replace"))

    def write(self, entry: JournalEntry, revision: ServiceRevision | None) -> None:
        """Write an entry, and the revision that its task runs."""
        key = revision_key(entry.task)
        changes: dict[str, bytes | None] = {}
        if revision is not None and key not in self._revisions:
            changes[f"revision/{key}"] = revision.SerializeToString()
        changes[f"task/{entry.task.id}"] = entry.SerializeToString()
        self._records.write(changes)
        self._revisions.update([key] if len(changes) > 1 else [])

    def remove(self, task_id: str) -> None:
        """Remove a task's entry; no error if there is none."""
        self._records.write({f"task/{task_id}": None})

    def write_epoch(self, epoch: str) -> None:
        """Write the id of the cluster's epoch."""
        self._records.write({_EPOCH: epoch.encode()})

    def write_boot_id(self, boot_id: str) -> None:
        """Write the id of the host's boot."""
        self._records.write({_BOOT: boot_id.encode()})

    def write_cluster(self, change: ClusterDiff) -> None:
        """Write a change of networks, endpoints, peers and services."""
        self._records.write(dict(_records(change)))

    def drop_unused_revisions(self, used: frozenset[str]) -> None:
        """Remove revisions except these ("<service id>/<number>")."""
        unused = self._revisions - used
        self._records.write({f"revision/{key}": None for key in unused})
        self._revisions -= unused


def _records(change: ClusterDiff) -> Iterator[tuple[str, bytes | None]]:
    """Record names and values; None: removed."""
    kinds: Mapping[str, Mapping[str, Message | None]] = {
        "network": change.networks,
        "endpoint": change.endpoints,
        "peer": change.peers,
        "service": change.services,
    }
    for kind, messages in kinds.items():
        for key, message in messages.items():
            yield f"{kind}/{key}", message.SerializeToString() if message is not None else None


def _read(records: Mapping[str, bytes], name: str, kind: type[M]) -> Iterator[M]:
    for key, data in records.items():
        if key.startswith(f"{name}/"):
            try:
                yield kind.FromString(data)
            except DecodeError:
                _log.warning("journal record %s is corrupt (possibly after a power loss); ignoring it", key)
