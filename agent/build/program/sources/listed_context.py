"""A context that comes as a list of what is in it: what an earlier build has left need not be sent. Blocking.

The last context of the same key is changed into this one. Digests are this side's own: those of the list only say what
has not changed.
"""

import os
from collections.abc import Sequence
from pathlib import Path

from agent.archives.known_content import KnownContent
from agent.build.kept_contexts import KeptTree
from agent.build.program.results import Tree
from agent.build.program.sources.context_changes import ContextList, EntryChange, changes_of, is_file, removed
from agent.build.program.sources.context_tree import ContextTree, NewFile
from agent.build.program.workspace import Workspace
from shoal.api.v1.builds_pb2 import ContextContent, ContextEntry, ContextRequest
from shoal.errors import Exhausted, InvalidInput

MAX_KEY_CHARACTERS = 200


class ListedContext:
    """One context. `close` it when nothing reads it any more.

    Args:
        root: of contexts that are kept. max_bytes: of all that is received.
    """

    def __init__(self, name: str, key: str, root: Path, workspace: Workspace, *, max_bytes: int) -> None:
        if len(key) > MAX_KEY_CHARACTERS:
            raise InvalidInput(f"the key of a context is too long; the maximum is {MAX_KEY_CHARACTERS} characters")
        self._name = name
        self._list = ContextList()
        self._kept_tree = KeptTree.acquire(root, f"{name}\0{key}") if key else None
        self._directory = self._kept_tree.tree if self._kept_tree else workspace.new("context")
        self._kept = self._kept_tree.read() if self._kept_tree else {}
        self._directory.chmod(0o755)
        self._root = os.open(self._directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        self._tree = ContextTree(self._root, workspace.budget())
        self._left = max_bytes
        self._changes: list[EntryChange] = []
        self._requested: list[int] = []
        self._done = 0
        self._file: NewFile | None = None
        self._inodes: list[int] = []
        self._differs = True

    def add(self, entries: Sequence[ContextEntry]) -> None:
        """A part of the list. Raises InvalidInput, Exhausted."""
        self._list.add(entries)

    def compare(self) -> ContextRequest:
        """The list is complete: what is requested next. Raises OSError."""
        self._changes = changes_of(self._kept, self._list.entries)
        requested = [number for number, change in enumerate(self._changes) if change is EntryChange.DIGEST]
        if requested:
            self._requested = requested
            return ContextRequest(name=self._name, digests=requested)
        return self._prepare()

    def add_digests(self, digests: Sequence[bytes]) -> None:
        """Answers to what was requested. Raises InvalidInput: there are more than that."""
        if self._done + len(digests) > len(self._requested):
            raise InvalidInput("the context has more digests than were requested")
        for digest in digests:
            self._list.entries[self._requested[self._done]].digest = digest
            self._done += 1

    def compare_again(self) -> ContextRequest:
        """All digests have come. Raises OSError."""
        self._changes = changes_of(self._kept, self._list.entries)
        self._changes = [EntryChange.CONTENT if each is EntryChange.DIGEST else each for each in self._changes]
        return self._prepare()

    def _prepare(self) -> ContextRequest:
        """Remove what is not in the list, and make what has no content."""
        entries = self._list.entries
        self._inodes = [self._kept_inode(each, change) for each, change in zip(entries, self._changes, strict=True)]
        gone = removed(self._kept, entries, self._changes)
        self._differs = bool(gone) or any(each is not EntryChange.NONE for each in self._changes)
        if self._kept_tree is not None and self._differs:
            self._kept_tree.begin_change()
        self._tree.remove(gone)
        for each, change in zip(entries, self._changes, strict=True):
            if change is EntryChange.MADE and not each.hard_link:
                self._tree.make(each)
        self._requested = [number for number, change in enumerate(self._changes) if change is EntryChange.CONTENT]
        self._done = 0
        return ContextRequest(name=self._name, contents=self._requested, final=True)

    def _kept_inode(self, entry: ContextEntry, change: EntryChange) -> int:
        stays = is_file(entry) and change in (EntryChange.NONE, EntryChange.METADATA)
        return self._kept[entry.path].inode if stays else 0

    def write(self, contents: Sequence[ContextContent]) -> None:
        """Contents that were requested, in their order. Raises InvalidInput, Exhausted, OSError."""
        for each in contents:
            if self._done >= len(self._requested) or each.number != self._requested[self._done]:
                raise InvalidInput("the context has other contents than were requested")
            self._left -= len(each.data)
            if self._left < 0:
                raise Exhausted("the context is too large")
            entry = self._list.entries[each.number]
            if self._file is None:
                self._file = self._tree.create(entry)
            self._file.write(each.data)
            if each.complete:
                entry.size = self._file.size
                entry.digest, self._inodes[each.number] = self._file.finish()
                self._file, self._done = None, self._done + 1

    def finish(self) -> Tree:
        """All contents have come. Raises InvalidInput: some have not; OSError."""
        if self._done < len(self._requested):
            raise InvalidInput("the context ended before all that was requested had come")
        entries = self._list.entries
        if self._differs or self._kept_tree is None:
            self._complete(entries)
        pairs = zip(self._inodes, entries, strict=True)
        return Tree(self._directory, {inode: KnownContent(each.digest, each.size) for inode, each in pairs if inode})

    def _complete(self, entries: Sequence[ContextEntry]) -> None:
        for each, change in zip(entries, self._changes, strict=True):
            if change is EntryChange.MADE and each.hard_link:
                self._tree.make(each)
            elif change is EntryChange.METADATA:
                self._tree.set_metadata(each)
        self._tree.set_directories(entries)
        self._tree.close()
        if self._kept_tree is not None:
            self._kept_tree.save(self._name, entries, self._inodes)

    def close(self) -> None:
        """Let other builds have the directory."""
        if self._file is not None:
            self._file.close()
        self._tree.close()
        os.close(self._root)
        if self._kept_tree is not None:
            self._kept_tree.close()
