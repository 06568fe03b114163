"""Directories as contexts: what is in the archive, and that it is the same each time."""

import io
import os
import tarfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli.builds.context_archive import ContextArchive
from shoal.dockerfile.ignore_patterns import PatternMatcher, read_patterns
from shoal.errors import InvalidInput
from shoal.tar.tar_header import DIRECTORY, REGULAR, parse_header
from shoal.tar.ustar_header import ustar_header


def archive(directory: Path, ignored: str = "") -> tarfile.TarFile:
    content = b"".join(ContextArchive(directory, read_patterns(ignored)).pieces())
    return tarfile.open(fileobj=io.BytesIO(content))


def names(directory: Path, ignored: str = "") -> list[str]:
    return archive(directory, ignored).getnames()


def make(root: Path, *paths: str) -> None:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(os.fsencode(path))


def test_entries_are_sorted_and_of_root(tmp_path: Path) -> None:
    make(tmp_path, "b/z", "b/a", "a", "c")
    (tmp_path / "link").symlink_to("b/a")
    os.link(tmp_path / "a", tmp_path / "b" / "hard")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "a").chmod(0o4751)
    with archive(tmp_path) as found:
        assert found.getnames() == ["a", "b", "b/a", "b/hard", "b/z", "c", "link", "pipe"]
        assert {(each.uid, each.gid, each.uname, each.gname) for each in found} == {(0, 0, "", "")}
        assert found.getmember("a").mode == 0o4751
        assert found.getmember("link").linkname == "b/a"
        assert (found.getmember("b/hard").islnk(), found.getmember("b/hard").linkname) == (True, "a")
        content = found.extractfile("b/z")
        assert content is not None and content.read() == b"b/z"


def test_the_same_files_give_the_same_bytes(tmp_path: Path) -> None:
    for copy, order in (("one", ("x/1", "x/2", "y")), ("two", ("y", "x/2", "x/1"))):
        make(tmp_path / copy, *order)
        for path in (tmp_path / copy).rglob("*"):
            os.utime(path, ns=(1, 1_700_000_000_123_456_789))
    one, two = (b"".join(ContextArchive(tmp_path / copy).pieces()) for copy in ("one", "two"))
    assert one == two
    assert archive(tmp_path / "one").getmember("y").mtime == 1_700_000_000


def test_names_that_are_long_or_no_ascii(tmp_path: Path) -> None:
    long = "/".join(["d" * 90] * 4)
    deep = "/".join(["e" * 60] * 3)
    odd = os.fsdecode(b"bad\xff")
    make(tmp_path, f"{long}/file", f"{deep}/file", "été", odd)
    assert {f"{long}/file", f"{deep}/file", "été", odd} <= set(names(tmp_path))


def test_what_is_ignored_is_left_out(tmp_path: Path) -> None:
    make(tmp_path, ".git/a", "node_modules/x/y", "src/a.py", "src/a.pyc", "README.md", "docs/b.md")
    ignored = ".git\nnode_modules\n**/*.pyc\n*.md\n!README.md\n"
    assert names(tmp_path, ignored) == ["README.md", "docs", "docs/b.md", "src", "src/a.py"]


def test_what_is_taken_back_in_has_its_directories(tmp_path: Path) -> None:
    make(tmp_path, "out/bin/app", "out/bin/tool", "out/log", "out/deep/er/keep", "src/x")
    (tmp_path / "out").chmod(0o711)
    ignored = "*\n!out/bin/app\n!out/**/keep\n"
    assert names(tmp_path, ignored) == ["out", "out/bin", "out/bin/app", "out/deep", "out/deep/er", "out/deep/er/keep"]
    assert archive(tmp_path, ignored).getmember("out").mode == 0o711


def test_directories_that_are_left_out_whole_are_not_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(tmp_path, "left/out/x", "kept/x")
    listed: list[str] = []
    scandir = os.scandir

    def noted(path: str) -> object:
        listed.append(os.path.relpath(path, tmp_path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", noted)
    assert names(tmp_path, "left\n!kept/y\n") == ["kept", "kept/x"]
    assert listed == [".", "kept"]


def test_bad_patterns_are_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput):
        ContextArchive(tmp_path, ["[a"])


@given(
    st.lists(
        st.lists(st.sampled_from(["a", "b", "ab", "*", "**", "a*"]), min_size=1, max_size=3).map("/".join), max_size=5
    ),
    st.lists(st.booleans(), min_size=5, max_size=5),
)
def test_skipping_directories_changes_nothing(
    tmp_path_factory: pytest.TempPathFactory, patterns: list[str], negated: list[bool]
) -> None:
    root = tmp_path_factory.getbasetemp() / "tree"
    if not root.exists():
        make(root, *(f"{x}/{y}/{z}" for x in ("a", "b", "ab") for y in ("a", "b") for z in ("a", "ab", "c")))
    marked = [f"!{each}" if sign else each for each, sign in zip(patterns, negated, strict=False)]
    matcher = PatternMatcher(marked)
    expected = {
        str(path.relative_to(root)) for path in root.rglob("*") if not matcher.excludes(str(path.relative_to(root)))
    }
    with_parents = {str(above) for path in expected for above in [Path(path), *Path(path).parents]} - {"."}
    assert set(names(root, "\n".join(marked))) == with_parents


@given(
    st.binary(min_size=1, max_size=300).filter(lambda name: b"\0" not in name),
    st.integers(0, 0o7777),
    st.integers(0, 1 << 40),
    st.integers(0, 1 << 40),
)
def test_short_headers_read_as_written(name: bytes, mode: int, size: int, mtime: int) -> None:
    block = ustar_header(name, REGULAR, mode=mode, size=size, mtime=mtime, uid=7, gid=8)
    if block is None:
        assert len(name) > 100 or not name.isascii() or size >= 8**11 or mtime >= 8**11
        return
    header = parse_header(block)
    assert header is not None
    assert (header.name, header.mode, header.size, header.mtime_ns) == (name, mode, size, mtime * 1_000_000_000)
    assert (header.uid, header.gid, header.kind) == (7, 8, REGULAR)


def test_python_reads_them_too() -> None:
    block = ustar_header(b"d/" * 90, DIRECTORY, mode=0o755, size=0, mtime=5)
    assert block is not None
    info = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
    assert (info.name, info.mode, info.mtime, info.isdir()) == (("d/" * 90)[:-1], 0o755, 5, True)
