"""Files as they are placed: what they replace, links, attributes, and that most of them cost few system calls."""

import os
import posixpath
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.archives.disk_budget import DiskBudget
from agent.build.program.copying.copy_metadata import CopyOwner
from agent.build.program.copying.copy_sources import walk
from agent.build.program.copying.copy_target import CopyTarget
from shoal.errors import InvalidInput


@contextmanager
def target_in(path: Path, chmod: str = "") -> Iterator[CopyTarget]:
    path.mkdir(exist_ok=True)
    root = os.open(path, os.O_PATH)
    target = CopyTarget(root, CopyOwner(os.getuid(), os.getgid()), chmod, DiskBudget(root, reserve_bytes=0))
    try:
        yield target
    finally:
        target.close()
        os.close(root)


def copy(source: Path, into: Path, at: str = "/", chmod: str = "") -> None:
    root = os.open(source, os.O_PATH)
    try:
        with target_in(into, chmod) as target:
            for found in walk(root, "", None):
                target.place(found, posixpath.join(at, found.path), overwrites=bool(found.path))
            target.finish()
    finally:
        os.close(root)


def described(root: Path) -> dict[str, tuple[object, ...]]:
    found: dict[str, tuple[object, ...]] = {}
    for path in sorted(root.rglob("*")):
        status = path.lstat()
        content: object = str(path.readlink()) if path.is_symlink() else path.read_bytes() if path.is_file() else ""
        found[str(path.relative_to(root))] = (oct(status.st_mode), status.st_mtime_ns, status.st_nlink, content)
    return found


def test_a_tree_is_copied_with_modes_times_links_and_attributes(tmp_path: Path) -> None:
    source = tmp_path / "source"
    (source / "a" / "b").mkdir(parents=True)
    (source / "a" / "b" / "large").write_bytes(os.urandom(300_000))
    (source / "a" / "small").write_bytes(b"small")
    (source / "a" / "empty").touch()
    (source / "a" / "small").chmod(0o4751)
    os.link(source / "a" / "small", source / "second")
    (source / "link").symlink_to("a/small")
    os.mkfifo(source / "pipe", 0o640)
    with (source / "holes").open("wb") as file:
        file.truncate(1 << 20)
        file.seek(1 << 19)
        file.write(b"x")
    os.setxattr(source / "a" / "empty", "user.kind", b"none")
    for path in sorted(source.rglob("*"), reverse=True):
        os.utime(path, ns=(1, 1_700_000_000_123_456_789), follow_symlinks=False)
    copy(source, tmp_path / "into")
    assert described(tmp_path / "into") == described(source)
    assert os.getxattr(tmp_path / "into" / "a" / "empty", "user.kind") == b"none"
    assert (tmp_path / "into" / "holes").stat().st_blocks < 200
    copy(source, tmp_path / "into")
    assert described(tmp_path / "into") == described(source), "again, over what is there"


def test_what_has_the_name_is_replaced_and_a_link_is_not_followed(tmp_path: Path) -> None:
    source, into = tmp_path / "source", tmp_path / "into"
    source.mkdir()
    into.mkdir()
    (source / "f").write_text("new")
    (source / "l").symlink_to("f")
    (tmp_path / "outside").write_text("kept")
    (into / "f").symlink_to("../outside")
    (into / "l").write_text("old")
    copy(source, into)
    assert (tmp_path / "outside").read_text() == "kept"
    assert (into / "f").read_text() == "new" and not (into / "f").is_symlink()
    assert str((into / "l").readlink()) == "f"


def test_a_file_does_not_replace_a_directory(tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "f").write_text("new")
    (tmp_path / "into" / "f").mkdir(parents=True)
    with pytest.raises(InvalidInput, match="which is a directory"):
        copy(tmp_path / "source", tmp_path / "into")


def test_modes_that_are_asked_for(tmp_path: Path) -> None:
    (tmp_path / "source" / "d").mkdir(parents=True)
    (tmp_path / "source" / "d" / "f").write_text("x")
    copy(tmp_path / "source", tmp_path / "into", chmod="u=rwX,go=")
    assert stat.S_IMODE((tmp_path / "into" / "d").stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "into" / "d" / "f").stat().st_mode) == 0o600


@given(st.lists(st.tuples(st.sampled_from(["a", "b", "a/c", "a/d", "b/e/f"]), st.binary(max_size=40)), max_size=8))
def test_any_tree_is_the_same_afterwards(
    tmp_path_factory: pytest.TempPathFactory, files: list[tuple[str, bytes]]
) -> None:
    root = tmp_path_factory.mktemp("any")
    source = root / "source"
    source.mkdir()
    for name, content in files:
        path = source / name
        if not path.is_dir() and not any(each.is_file() for each in path.parents):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
    copy(source, root / "into", at="/deep/er")
    assert described(root / "into" / "deep" / "er") == described(source)
