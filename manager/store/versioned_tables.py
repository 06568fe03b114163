"""Tables with the version of each record; applies events, listings and own writes in any order. Pure: no I/O.

Own writes arrive twice, from the commit and from the watch, and commits may complete out of order. One rule covers all
cases: an event is applied if its revision is greater than the known one of its key. Deletions are remembered until the
watch has passed them, since an older event of the key may still be in flight.
"""

import logging
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby

from google.protobuf.message import DecodeError, Message

from manager.store import arenas
from manager.store.backend import Delete, KeyEvent, Put
from manager.store.changes import Change, Write
from manager.store.kinds import KINDS, Kind, M, parse_key
from manager.store.tables import Tables
from shoal.errors import ShoalError

_log = logging.getLogger(__name__)
_WITH_META = frozenset(kind.name for kind in KINDS if "meta" in kind.message.DESCRIPTOR.fields_by_name)


class UnreadableRecord(ShoalError):
    """A record in etcd cannot be parsed as its key's kind. The manager stops with this error."""


def encode(kind: Kind[M], value: M) -> bytes:
    """The record's bytes, without the version, which etcd itself has."""
    if kind.name not in _WITH_META:
        return value.SerializeToString()
    return versioned(kind, value, 0).SerializeToString()


def versioned(kind: Kind[M], value: M, version: int) -> M:
    """The message with its version in `meta`; a copy if it has a `meta`, so that the caller's is not changed."""
    if kind.name not in _WITH_META:
        return value
    copy = kind.message()
    copy.CopyFrom(value)
    copy.meta.version = version  # type: ignore[attr-defined]  # the kind has a meta, as checked above
    return copy


def decode(kind: Kind[M], event: KeyEvent) -> M:
    """The message of a put event.

    Raises:
        UnreadableRecord: its bytes are no such message.
    """
    assert event.value is not None
    try:
        message = kind.message.FromString(event.value)
    except DecodeError as error:
        raise UnreadableRecord(
            f"the {kind.name} at {event.key.decode()} in etcd cannot "
            f"be read: {error}; restore a backup, or delete the key"
        ) from error
    if kind.name in _WITH_META:
        message.meta.version = event.mod_revision  # type: ignore[attr-defined]  # see _WITH_META
    return message


def decode_all(kind: Kind[Message], events: Sequence[KeyEvent]) -> list[Message | None]:
    """The messages of events of one kind, None for deletions.

    Raises:
        UnreadableRecord: as `decode`.
    """
    if not arenas.shares_arena(kind):
        return [None if event.value is None else decode(kind, event) for event in events]
    try:
        rows = iter(arenas.parse(kind, [event.value for event in events if event.value is not None]))
    except DecodeError:
        return [None if event.value is None else decode(kind, event) for event in events]  # which raises with the key
    return [None if event.value is None else next(rows) for event in events]


def _rows(writes: Sequence[Write], operations: Sequence[Put | Delete], revision: int) -> list[Message | None]:
    """The messages to store for writes that were applied at `revision`."""
    rows = [None if write.value is None else versioned(write.kind, write.value, revision) for write in writes]
    for kind in {write.kind.name: write.kind for write in writes if arenas.shares_arena(write.kind)}.values():
        made = [(at, each) for at, each in enumerate(operations) if writes[at].kind is kind and isinstance(each, Put)]
        for (at, _), row in zip(made, arenas.parse(kind, [each.value for _, each in made]), strict=True):
            rows[at] = row
    return rows


class VersionedTables:
    """Keeps the tables and the versions of their rows in sync."""

    def __init__(self, tables: Tables) -> None:
        self.tables = tables
        self._versions: dict[str, dict[str, int]] = {kind.name: {} for kind in KINDS}
        self._deleted: dict[bytes, int] = {}
        self._deletions: deque[tuple[int, bytes]] = deque()
        self._watched = 0
        self._unknown_keys: set[bytes] = set()

    def version_of(self, kind: Kind[M], identifier: str) -> int:
        """The record's mod revision, 0 when it is absent."""
        return self._versions[kind.name].get(identifier, 0)

    def version_at(self, key: bytes) -> int:
        """As `version_of`, by the record's key; 0 for a key of an unknown kind."""
        place = parse_key(key)
        return self.version_of(*place) if place is not None else 0

    def apply_events(self, events: Iterable[KeyEvent], revision: int) -> tuple[Change, ...]:
        """Apply events of the watch or a listing; returns the changes."""
        changes: list[Change] = []
        for kind, group in groupby(self._located(events), key=lambda found: found[0]):
            located = [(identifier, event) for _, identifier, event in group]
            for (identifier, event), new in zip(
                located, decode_all(kind, [event for _, event in located]), strict=True
            ):
                if self._is_new(kind, identifier, event.key, event.mod_revision):
                    self._apply(changes, kind, identifier, new, event.mod_revision)
        self.tables.revision = max(self.tables.revision, revision)
        return tuple(changes)

    def apply_writes(
        self, writes: Sequence[Write], operations: Sequence[Put | Delete], revision: int
    ) -> tuple[Change, ...]:
        """Apply what this manager's commit wrote at `revision`; writes and operations correspond."""
        if revision <= self._watched:
            return ()  # The watch delivered it first, and perhaps a later deletion too, which is forgotten already.
        changes: list[Change] = []
        rows = _rows(writes, operations, revision)
        for write, operation, new in zip(writes, operations, rows, strict=True):
            if self._is_new(write.kind, write.identifier, operation.key, revision):
                self._apply(changes, write.kind, write.identifier, new, revision)
        self.tables.revision = max(self.tables.revision, revision)
        return tuple(changes)

    def _located(self, events: Iterable[KeyEvent]) -> Iterator[tuple[Kind[Message], str, KeyEvent]]:
        """The events that are new, with kind and identifier."""
        for event in events:
            place = parse_key(event.key)
            if place is None:
                self._warn_once(event.key)
            elif self._is_new(*place, event.key, event.mod_revision):
                yield *place, event

    def deletions(self, listed: set[bytes], revision: int) -> list[KeyEvent]:
        """Deletions of the rows that a full listing at `revision` does not contain. Rows written later stay."""
        return [
            KeyEvent(key, None, revision)
            for kind in KINDS
            for identifier, version in self._versions[kind.name].items()
            if version <= revision and (key := kind.key(identifier)) not in listed
        ]

    def mark_watched(self, watched: int) -> None:
        """Everything up to `watched` has been applied: no older event can arrive, so older deletions are forgotten."""
        self._watched = watched
        while self._deletions and self._deletions[0][0] <= watched:
            revision, key = self._deletions.popleft()
            if self._deleted.get(key) == revision:
                del self._deleted[key]

    def _is_new(self, kind: Kind[Message], identifier: str, key: bytes, revision: int) -> bool:
        known = self._versions[kind.name].get(identifier) or self._deleted.get(key, 0)
        return revision > known

    def _apply(
        self, changes: list[Change], kind: Kind[Message], identifier: str, new: Message | None, revision: int
    ) -> None:
        old = self.tables.rows(kind).get(identifier)
        versions = self._versions[kind.name]
        if new is None:
            versions.pop(identifier, None)
            key = kind.key(identifier)
            self._deleted[key] = revision
            self._deletions.append((revision, key))
        else:
            versions[identifier] = revision
        if old is not None or new is not None:
            change = Change(kind, identifier, old, new)
            self.tables.apply((change,), revision)
            changes.append(change)

    def _warn_once(self, key: bytes) -> None:
        if key not in self._unknown_keys:
            self._unknown_keys.add(key)
            _log.warning("ignoring the unknown key %r in etcd", key)
