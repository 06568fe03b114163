"""A hostile node that a volume is copied from: what it sends stays in the copy, and within what it announced.

Bound: nothing outside the copy's directory is made, changed or opened; entries as many as were offered; no time or
memory by what it claims, such as files of 8 EiB.
"""

import os
import resource
import socket
import stat
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.volume_moves.tree_digest import tree_digest
from agent.volume_moves.tree_messages import tree_messages
from agent.volume_moves.tree_writer import TreeWriter
from shoal.api.v1.volume_data_pb2 import TreeAttribute, TreeContent, TreeEntry, TreeItem, TreeItems, TreeMetadata
from shoal.errors import Exhausted, InvalidInput, ShoalError
from shoal.tree_removal import delete_trees

FILE = TreeMetadata(mode=stat.S_IFREG | 0o644)
DIRECTORY = TreeMetadata(mode=stat.S_IFDIR | 0o755)
LINK = TreeMetadata(mode=stat.S_IFLNK | 0o777)


@pytest.fixture
def copy(tmp_path: Path) -> Iterator[tuple[TreeWriter, Path]]:
    """A copy that begins, beside something that is nobody's to touch."""
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/precious").write_text("untouched")
    (tmp_path / "top").mkdir()
    (tmp_path / "links").mkdir()
    top, links = (os.open(tmp_path / name, os.O_RDONLY | os.O_DIRECTORY) for name in ("top", "links"))
    writer = TreeWriter(top=top, links=links, done=0, max_items=1_000)
    try:
        yield writer, tmp_path / "top"
    finally:
        writer.close()
        os.close(top)
        os.close(links)
        assert (tmp_path / "outside/precious").read_text() == "untouched"
        assert sorted(path.name for path in tmp_path.iterdir()) == ["links", "outside", "top"]
        delete_trees(tmp_path / "top")  # pytest's own way ends where trees are deep


def entry(number: int, name: bytes, metadata: TreeMetadata = FILE, **more: object) -> TreeItem:
    return TreeItem(entry=TreeEntry(number=number, name=name, metadata=metadata, **more))  # type: ignore[arg-type]


NAMES = [b"", b".", b"..", b"../outside/precious", b"/etc/shadow", b"a/b", b"a\0b", b"x" * 256]


@pytest.mark.parametrize("name", NAMES)
def test_a_name_has_one_part(copy: tuple[TreeWriter, Path], name: bytes) -> None:
    for item in (entry(1, name), TreeItem(enter=name), entry(1, name, LINK, link_target=b"x")):
        with pytest.raises(InvalidInput):
            copy[0].write(TreeItems(items=[item]))
    assert not list(copy[1].iterdir())


@pytest.mark.parametrize("target", [b"../outside", b"/", b"."])
def test_a_link_is_never_gone_over(copy: tuple[TreeWriter, Path], target: bytes) -> None:
    writer, _ = copy
    writer.write(TreeItems(items=[entry(1, b"way", LINK, link_target=target)]))
    with pytest.raises(OSError):  # ELOOP or ENOTDIR
        writer.write(TreeItems(items=[TreeItem(enter=b"way"), entry(2, b"precious")]))


def test_a_file_in_the_place_of_a_link_replaces_the_link(copy: tuple[TreeWriter, Path]) -> None:
    writer, top = copy
    way = entry(1, b"way", LINK, link_target=b"../outside/precious")
    content = TreeItem(content=TreeContent(data=b"overwritten"))
    writer.write(TreeItems(items=[way, entry(2, b"way", size=11), content, TreeItem(leave=DIRECTORY)]))
    assert not (top / "way").is_symlink() and (top / "way").read_text() == "overwritten"


@pytest.mark.parametrize("kind", [stat.S_IFBLK, stat.S_IFDIR, 0, 0o170000])
def test_no_device_is_made(copy: tuple[TreeWriter, Path], kind: int) -> None:
    with pytest.raises(ShoalError):
        copy[0].write(TreeItems(items=[entry(1, b"disk", TreeMetadata(mode=kind | 0o666))]))
    assert not list(copy[1].iterdir())


def test_a_character_device_can_only_be_the_mark_of_a_deleted_file(copy: tuple[TreeWriter, Path]) -> None:
    copy[0].write(TreeItems(items=[entry(1, b"gone", TreeMetadata(mode=stat.S_IFCHR | 0o666))]))
    assert (copy[1] / "gone").lstat().st_rdev == 0


@pytest.mark.parametrize(
    "items",
    [
        [entry(2, b"a")],
        [entry(1, b"a"), entry(1, b"b")],
        [entry(1, b"a", hard_link_to=7)],
        [entry(1, b"a", size=-1)],
        [TreeItem(content=TreeContent(data=b"x"))],
        [entry(1, b"a", size=1), TreeItem(content=TreeContent(data=b"xx"))],
        [entry(1, b"a", size=1), TreeItem(content=TreeContent(offset=-1, data=b"x"))],
        [entry(1, b"a", size=1), TreeItem(content=TreeContent(offset=(1 << 63) - 1, data=b"x"))],
        [entry(1, b"a", LINK)],
        [entry(1, b"a", LINK, link_target=b"x" * 5000)],
        [entry(1, b"a", TreeMetadata(mode=stat.S_IFREG, uid=0xFFFFFFFF))],
        [entry(1, b"a", TreeMetadata(mode=stat.S_IFREG, attributes=[TreeAttribute(name=b"security.selinux")]))],
        [TreeItem(leave=FILE)],
        [TreeItem(leave=DIRECTORY), entry(1, b"a")],
        [TreeItem()],
    ],
)
def test_what_is_no_tree_is_refused(copy: tuple[TreeWriter, Path], items: list[TreeItem]) -> None:
    with pytest.raises(InvalidInput):
        copy[0].write(TreeItems(items=items))


def test_there_are_no_more_files_than_were_offered(copy: tuple[TreeWriter, Path]) -> None:
    with pytest.raises(Exhausted, match="more files"):
        for _ in range(1_001):
            copy[0].write(TreeItems(items=[TreeItem(enter=b"d")]))


def test_a_file_of_8_eib_costs_neither_disk_nor_time(copy: tuple[TreeWriter, Path]) -> None:
    writer, top = copy
    begun = time.monotonic()
    huge = entry(1, b"huge", size=(1 << 43) - 1)
    content = TreeItem(content=TreeContent(offset=1 << 42, data=b"x"))
    writer.write(TreeItems(items=[huge, content, TreeItem(leave=DIRECTORY)]))
    descriptor = os.open(top, os.O_RDONLY)
    tree_digest(descriptor, lambda _: None)
    os.close(descriptor)
    assert (top / "huge").stat().st_blocks * 512 < 1 << 20
    assert time.monotonic() - begun < 20


def test_depth_without_end_takes_no_descriptors(copy: tuple[TreeWriter, Path]) -> None:
    writer, _ = copy
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(900):
        writer.write(TreeItems(items=[TreeItem(enter=b"d" * 200)]))
    assert len(list(Path("/proc/self/fd").iterdir())) < before + 64


def test_what_a_container_left_leads_the_source_nowhere(tmp_path: Path) -> None:
    """By a volume's author: links out, a FIFO that nobody writes to, deep trees. None is followed."""
    (tmp_path / "out").symlink_to("/etc")
    os.mkfifo(tmp_path / "fifo")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "socket"))
    deep = os.open(tmp_path, os.O_RDONLY)
    for _ in range(500):
        os.mkdir("d" * 100, dir_fd=deep)
        inner = os.open("d" * 100, os.O_RDONLY, dir_fd=deep)
        os.close(deep)
        deep = inner
    os.close(deep)
    top, before = os.open(tmp_path, os.O_RDONLY), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    items = [item for message in tree_messages(top, 0) for item in message.items]
    os.close(top)
    delete_trees(tmp_path / ("d" * 100))
    assert sum(item.WhichOneof("kind") == "enter" for item in items) == 500
    assert {item.entry.name: item.entry.link_target for item in items if item.HasField("entry")}[b"out"] == b"/etc"
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 << 10
