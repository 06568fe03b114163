"""Contexts as lists: what is sent is what the node lacks, and the tree is the sender's, whatever was there before."""

import os
import shutil
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.build.kept_contexts import ContextRow, KeptTree, beyond_bounds, list_contexts, remove_context
from agent.build.program.caching.content_digest import ContentDigest
from agent.build.program.copying.copy_sources import walk
from agent.build.program.results import Tree
from agent.build.program.sources.listed_context import ListedContext
from agent.build.program.workspace import Workspace
from cli.builds.context_listing import ListedDirectory
from cli.builds.known_digests import KnownDigests
from shoal.api.v1.builds_pb2 import BuildInput, ContextContent, ContextEntry
from shoal.errors import Exhausted, InvalidInput

LATER = 10_000_000_000_000_000_000
"""A clock that makes all files old enough to be remembered."""


@dataclass
class Sent:
    """Attributes: listed, requested, contents: numbers of entries. tree: at the node."""

    tree: Tree
    listed: int
    requested: list[int]
    contents: list[int]
    context: ListedContext


class Sender:
    """A machine with contexts, and a node."""

    def __init__(self, path: Path) -> None:
        self.directory = path / "context"
        self.directory.mkdir()
        self.known = path / "known"
        self.root = path / "contexts"
        (path / "work").mkdir()
        self.workspace = Workspace(path / "work", 0)

    def send(self, key: str = "k", *, closes: bool = True) -> Sent:
        known = KnownDigests(self.known, now_ns=lambda: LATER)
        listed = ListedDirectory("", key, self.directory, (), known)
        context = ListedContext("", key, self.root, self.workspace, max_bytes=1 << 30)
        count = 0
        for message in listed.listing():
            context.add(message.listing.entries)
            count += len(message.listing.entries)
        request = context.compare()
        requested = list(request.digests)
        if not request.final:
            for message in listed.digests(request.digests):
                context.add_digests(message.digests.digests)
            request = context.compare_again()
        assert request.final
        for message in listed.contents(request.contents):
            context.write(message.contents.contents)
        sent = Sent(context.finish(), count, requested, list(request.contents), context)
        known.save()
        if closes:
            context.close()
        return sent


@pytest.fixture
def sender(tmp_path: Path) -> Sender:
    return Sender(tmp_path)


def described(root: Path) -> dict[str, tuple[object, ...]]:
    found: dict[str, tuple[object, ...]] = {}
    links: dict[int, str] = {}
    for path in sorted(root.rglob("*")):
        status = path.lstat()
        name = str(path.relative_to(root))
        first = links.setdefault(status.st_ino, name) if not path.is_dir() else ""
        content: object = str(path.readlink()) if path.is_symlink() else path.read_bytes() if path.is_file() else ""
        found[name] = (oct(status.st_mode), int(status.st_mtime), first, content)
    return found


def digest(tree: Tree, *, known: bool) -> str:
    root = os.open(tree.directory, os.O_PATH)
    content = ContentDigest(known=tree.known if known else {})
    try:
        for found in walk(root, "", None):
            content.add(found)
    finally:
        os.close(root)
    return content.hexdigest()


def fill(root: Path) -> None:
    (root / "a" / "b").mkdir(parents=True)
    for name in ("one", "a/two", "a/b/three"):
        (root / name).write_text(name)
    (root / "large").write_bytes(os.urandom(700_000))
    (root / "empty").touch()
    (root / "link").symlink_to("a/two")
    os.link(root / "one", root / "a" / "hard")
    os.mkfifo(root / "pipe", 0o640)


def test_all_is_sent_once_and_then_what_has_changed(sender: Sender) -> None:
    fill(sender.directory)
    first = sender.send()
    assert described(first.tree.directory) == described(sender.directory)
    assert len(first.contents) == 5 and not first.requested
    again = sender.send()
    assert (again.requested, again.contents) == ([], []) and again.tree.directory == first.tree.directory
    assert described(again.tree.directory) == described(sender.directory)
    (sender.directory / "a" / "two").write_text("TWO")
    (sender.directory / "a" / "b" / "three").chmod(0o600)
    (sender.directory / "link").unlink()
    changed = sender.send()
    assert len(changed.contents) == 1 and described(changed.tree.directory) == described(sender.directory)
    assert digest(changed.tree, known=True) == digest(changed.tree, known=False)


def test_a_machine_that_knows_no_digests_is_requested_and_sends_nothing_twice(sender: Sender) -> None:
    fill(sender.directory)
    sender.send()
    sender.known.unlink()
    copy = sender.directory.with_name("copy")
    shutil.copytree(sender.directory, copy, symlinks=True, ignore=lambda *_: ["pipe"])
    os.mkfifo(copy / "pipe", 0o640)
    sender.directory = copy
    (copy / "one").write_text("ONE")
    found = sender.send()
    assert len(found.requested) == 5 and len(found.contents) == 1
    assert described(found.tree.directory) == described(copy)


def test_a_context_that_another_build_uses_is_sent_whole(sender: Sender) -> None:
    fill(sender.directory)
    first = sender.send(closes=False)
    second = sender.send()
    assert second.tree.directory != first.tree.directory and len(second.contents) == 5
    first.context.close()
    assert not sender.send().contents


def test_what_was_interrupted_is_not_believed(sender: Sender) -> None:
    fill(sender.directory)
    sender.send()
    kept = KeptTree.acquire(sender.root, "\0k")
    assert kept is not None and len(kept.read()) == 10
    kept.begin_change()
    kept.close()
    assert len(sender.send().contents) == 5
    index = next(sender.root.glob("*/index"))
    index.write_bytes(b"\xff" + index.read_bytes())
    assert len(sender.send().contents) == 5
    assert described(next(sender.root.glob("*/tree"))) == described(sender.directory)


def test_a_build_that_ends_early_loses_nothing_where_nothing_changes(sender: Sender) -> None:
    fill(sender.directory)
    sender.send()
    known = KnownDigests(sender.known, now_ns=lambda: LATER)
    listed = ListedDirectory("", "k", sender.directory, (), known)
    context = ListedContext("", "k", sender.root, sender.workspace, max_bytes=1 << 30)
    for message in listed.listing():
        context.add(message.listing.entries)
    assert context.compare().final
    context.close()
    assert not sender.send().contents
    (sender.directory / "a").chmod(0o711)
    assert not sender.send().contents
    assert described(next(sender.root.glob("*/tree"))) == described(sender.directory)


def test_kept_contexts_are_listed_and_removed(sender: Sender) -> None:
    fill(sender.directory)
    used = sender.send(closes=False)
    (row,) = list_contexts(sender.root)
    assert row.in_use and row.size > 700_000 and not remove_context(sender.root, row.id)
    used.context.close()
    assert remove_context(sender.root, row.id) and not list_contexts(sender.root)


def test_bounds_of_kept_contexts() -> None:
    rows = [ContextRow(str(number), "", 1 << 30, 1_000_000_000_000 - number, number == 20) for number in range(40)]
    gone = [int(each.id) for each in beyond_bounds(rows, 1_000_000_000_000, is_disk_short=False)]
    assert gone == [number for number in range(16, 40) if number != 20]
    assert len(beyond_bounds(rows[:3], 1_000_000_000_000, is_disk_short=True)) == 3
    assert len(beyond_bounds(rows[:3], 2_000_000_000_000, is_disk_short=False)) == 3


FILE = stat.S_IFREG | 0o644


@pytest.mark.parametrize(
    "entries",
    [
        [ContextEntry(path=b"../x", mode=FILE)],
        [ContextEntry(path=b"/x", mode=FILE)],
        [ContextEntry(path=b"a/x", mode=FILE)],
        [ContextEntry(path=b"..", mode=stat.S_IFDIR | 0o755)],
        [ContextEntry(path=b"", mode=stat.S_IFDIR | 0o755)],
        [ContextEntry(path=b"x", mode=FILE), ContextEntry(path=b"x", mode=FILE)],
        [ContextEntry(path=b"l", mode=stat.S_IFLNK | 0o777, link=b"/"), ContextEntry(path=b"l/x", mode=FILE)],
        [ContextEntry(path=b"d", mode=stat.S_IFBLK | 0o600)],
        [ContextEntry(path=b"h", mode=FILE, hard_link=True, link=b"../x")],
        [ContextEntry(path=b"x", mode=FILE, size=-1)],
        [ContextEntry(path=b"x", mode=FILE, digest=b"short")],
        [ContextEntry(path=b"x\0", mode=FILE)],
    ],
)
def test_lists_that_lead_out_or_say_nonsense(sender: Sender, entries: Sequence[ContextEntry]) -> None:
    context = ListedContext("", "k", sender.root, sender.workspace, max_bytes=1 << 20)
    with pytest.raises(InvalidInput):
        context.add(entries)
    context.close()


def test_contents_that_were_not_requested_for_or_are_too_large(sender: Sender) -> None:
    context = ListedContext("", "k", sender.root, sender.workspace, max_bytes=10)
    context.add([ContextEntry(path=b"x", mode=FILE), ContextEntry(path=b"y", mode=FILE)])
    assert list(context.compare().contents) == [0, 1]
    with pytest.raises(InvalidInput, match="other contents"):
        context.write([ContextContent(number=1, complete=True)])
    with pytest.raises(Exhausted):
        context.write([ContextContent(number=0, data=b"x" * 11)])
    with pytest.raises(InvalidInput, match="ended before"):
        context.finish()
    context.close()


NAMES = st.sampled_from(["a", "b", "c", "a/d", "a/e", "b/f", "b/g/h"])
MADE = st.one_of(
    st.binary(max_size=3), st.sampled_from(["directory", "link", "fifo"]), st.tuples(st.just("hard"), NAMES)
)


def make(root: Path, name: str, what: object) -> None:
    path = root / name
    if any(each.is_symlink() or (each.exists() and not each.is_dir()) for each in path.parents if each != root.parent):
        return
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    path.unlink(missing_ok=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(what, bytes):
        path.write_bytes(what)
    elif isinstance(what, tuple):
        if (root / what[1]).is_file() and not (root / what[1]).is_symlink():
            os.link(root / what[1], path)
    elif what == "directory":
        path.mkdir()
    elif what == "link":
        path.symlink_to("a")
    else:
        os.mkfifo(path)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(st.tuples(NAMES, MADE, st.integers(0, 3)), max_size=6), min_size=2, max_size=4))
def test_any_tree_becomes_any_other(
    tmp_path_factory: pytest.TempPathFactory, steps: list[list[tuple[str, object, int]]]
) -> None:
    sender = Sender(tmp_path_factory.mktemp("any"))
    for step in steps:
        for name, what, time in step:
            make(sender.directory, name, what)
            path = sender.directory / name
            if path.exists() or path.is_symlink():
                os.utime(path, (time, time), follow_symlinks=False)
        sent = sender.send()
        assert described(sent.tree.directory) == described(sender.directory)
        assert digest(sent.tree, known=True) == digest(sent.tree, known=False)


def test_messages_are_bounded(sender: Sender) -> None:
    for number in range(5_000):
        (sender.directory / f"{number:05}-{'x' * 200}").touch()
    (sender.directory / "large").write_bytes(bytes(3 << 20))
    listed = ListedDirectory("", "k", sender.directory, (), KnownDigests(sender.known))

    def sizes(messages: Iterator[BuildInput]) -> list[int]:
        return [each.ByteSize() for each in messages]

    lists, contents = sizes(listed.listing()), sizes(listed.contents(range(5_001)))
    assert len(lists) > 2 and max(lists) < 1 << 20 and len(contents) > 10 and max(contents) < 1 << 20
