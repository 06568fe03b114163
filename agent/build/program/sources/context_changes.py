"""What of a context has to be changed where an earlier one is kept, and what of it has to be sent. Pure."""

import hashlib
import stat
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum, auto

from agent.archives.lookup import shown
from agent.build.kept_contexts import KeptFile
from shoal.api.v1.builds_pb2 import ContextEntry
from shoal.errors import Exhausted, InvalidInput

MAX_ENTRIES = 1_000_000
_KINDS = (stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK, stat.S_IFIFO)
_LATEST = 1 << 33
_MAX_NAME, _MAX_PATH = 255, 4095
_DIGEST_BYTES = hashlib.sha256().digest_size


class EntryChange(Enum):
    """What becomes of an entry."""

    NONE = auto()
    METADATA = auto()
    """The content stays, mode or time do not."""
    DIGEST = auto()
    """Its digest decides."""
    CONTENT = auto()
    """Its content is needed."""
    MADE = auto()
    """A directory, a link or a FIFO that is made."""


@dataclass
class ContextList:
    """The entries of a context, checked as they come."""

    entries: list[ContextEntry] = field(default_factory=list)
    _kinds: dict[bytes, int] = field(default_factory=lambda: {b"": stat.S_IFDIR})

    def add(self, entries: Iterable[ContextEntry]) -> None:
        """Further entries. Raises InvalidInput: one cannot be; Exhausted: too many."""
        for each in entries:
            if len(self.entries) >= MAX_ENTRIES:
                raise Exhausted(f"the context has more than {MAX_ENTRIES:,} entries")
            if fault := self._fault(each):
                raise InvalidInput(f"entry {shown(each.path.decode('utf-8', 'surrogateescape'))} {fault}")
            self._kinds[each.path] = -1 if each.hard_link else stat.S_IFMT(each.mode)
            self.entries.append(each)

    def _fault(self, entry: ContextEntry) -> str:
        parent, _, name = entry.path.rpartition(b"/")
        kind = stat.S_IFMT(entry.mode)
        if name in (b"", b".", b"..") or entry.path.startswith(b"/") or b"\0" in entry.path:
            return "has an invalid name"
        if len(name) > _MAX_NAME or len(entry.path) > _MAX_PATH or len(entry.link) > _MAX_PATH:
            return "has a name or target that is too long"
        if entry.path in self._kinds:
            return "comes twice"
        if self._kinds.get(parent) != stat.S_IFDIR:
            return "is in no directory that came before it"
        if kind not in _KINDS or b"\0" in entry.link:
            return "is no file, directory, link or FIFO"
        if entry.hard_link and self._kinds.get(entry.link) not in (stat.S_IFREG, stat.S_IFLNK, stat.S_IFIFO):
            return "is a hard link to nothing that came before it"
        if kind == stat.S_IFLNK and not entry.link:
            return "is a link to nothing"
        if entry.size < 0 or abs(entry.mtime) > _LATEST or len(entry.digest) not in (0, _DIGEST_BYTES):
            return "has an invalid size, time or digest"
        return ""


def is_file(entry: ContextEntry) -> bool:
    """Whether it has a content of its own."""
    return stat.S_ISREG(entry.mode) and not entry.hard_link


def change_of(old: ContextEntry | None, new: ContextEntry) -> EntryChange:
    """What becomes of an entry where `old` has its path."""
    fresh = EntryChange.CONTENT if is_file(new) else EntryChange.MADE
    if old is None or stat.S_IFMT(old.mode) != stat.S_IFMT(new.mode) or old.hard_link != new.hard_link:
        return fresh
    same_metadata = (old.mode, old.mtime) == (new.mode, new.mtime)
    if stat.S_ISDIR(new.mode):
        return EntryChange.NONE if same_metadata else EntryChange.METADATA
    if not is_file(new):
        return EntryChange.NONE if same_metadata and old.link == new.link else EntryChange.MADE
    if old.size != new.size:
        return EntryChange.CONTENT
    if not new.digest:
        return EntryChange.DIGEST
    if old.digest != new.digest:
        return EntryChange.CONTENT
    return EntryChange.NONE if same_metadata else EntryChange.METADATA


def changes_of(kept: Mapping[bytes, KeptFile], entries: Iterable[ContextEntry]) -> list[EntryChange]:
    """Of each entry; a hard link to what is made anew is made anew."""
    found: list[EntryChange] = []
    fresh: set[bytes] = set()
    for each in entries:
        old = kept.get(each.path)
        change = change_of(None if old is None else old.entry, each)
        if each.hard_link and each.link in fresh:
            change = EntryChange.MADE
        if change in (EntryChange.CONTENT, EntryChange.MADE):
            fresh.add(each.path)
        found.append(change)
    return found


def removed(
    kept: Mapping[bytes, KeptFile], entries: Iterable[ContextEntry], changes: Iterable[EntryChange]
) -> list[ContextEntry]:
    """What of an earlier context is removed before anything is made, what is in a directory before it."""
    stays = {
        each.path
        for each, change in zip(entries, changes, strict=True)
        if change not in (EntryChange.CONTENT, EntryChange.MADE)
    }
    return [each.entry for path, each in reversed(list(kept.items())) if path not in stays]
