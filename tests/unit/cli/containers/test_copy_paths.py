"""Where `shoal cp` puts what: the rules of `docker cp`, and archives there and back."""

import io
import os
import stat
import tarfile
from pathlib import Path

import pytest

from cli.file_copies.copy_paths import (
    CopiedPath,
    CopyDestination,
    Placement,
    absolute,
    clean,
    followed,
    place,
    renamed,
    split_argument,
    split_entry,
)
from cli.file_copies.local_archive import archive
from cli.file_copies.local_extract import LocalExtraction
from cli.file_copies.local_paths import local_source, local_target
from shoal.errors import InvalidInput, NotFound
from shoal.tar.piece_reader import PieceReader
from shoal.tar.tar_entries import CHUNK_BYTES


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("db:/srv", ("db", "/srv")),
        ("db:", ("db", "")),
        ("web.1:etc", ("web.1", "etc")),
        ("/local:with/colon", ("", "/local:with/colon")),
        ("./file:name.txt", ("", "./file:name.txt")),
        ("plain", ("", "plain")),
        ("-", ("", "-")),
    ],
)
def test_arguments(text: str, parts: tuple[str, str]) -> None:
    assert split_argument(text) == parts


def test_paths_keep_what_their_end_says() -> None:
    assert [clean(each) for each in ("", "//a//b/", "/..", "a/../b", ".")] == [".", "/a/b", "/", "b", "."]
    assert absolute("etc/", "/") == "/etc/" and absolute("etc/.", "/") == "/etc/." and absolute("etc", "/x") == "/x/etc"
    assert absolute(".", "/x") == "/x/." and absolute("/", "/x") == "/" and absolute("/.", "/x") == "/."
    assert split_entry("/a/b") == ("/a", "b") and split_entry("/a/b/") == ("/a", "b")
    assert split_entry("/a/b/.") == ("/a/b", ".") and split_entry("/") == ("/", "/") and split_entry("a") == (".", "a")
    assert followed("/x/link", "/y/real") == ("/y/real", "link") and followed("/x/a", "/y/a") == ("/y/a", "")
    assert followed("/x/link/.", "/y/real") == ("/y/real/.", "") and followed("/x/l/", "/y/r") == ("/y/r/", "l")


FILE, DIRECTORY, CONTENTS = CopiedPath("/s/f", False), CopiedPath("/s/d", True), CopiedPath("/s/d/.", True)
THERE, A_FILE = CopyDestination("/t/x", True, True), CopyDestination("/t/x", True, False)
MISSING, TO_BE_DIRECTORY = CopyDestination("/t/x", False, False), CopyDestination("/t/x/", False, False)


@pytest.mark.parametrize(
    ("source", "target", "found"),
    [
        (FILE, THERE, Placement("/t/x", "f")),
        (FILE, A_FILE, Placement("/t", "f", "x")),
        (FILE, MISSING, Placement("/t", "f", "x")),
        (DIRECTORY, THERE, Placement("/t/x", "d")),
        (DIRECTORY, MISSING, Placement("/t", "d", "x")),
        (DIRECTORY, TO_BE_DIRECTORY, Placement("/t", "d", "x")),
        (CONTENTS, THERE, Placement("/t/x", ".")),
        (CONTENTS, MISSING, Placement("/t", ".", "x")),
        (CopiedPath("/real", False, "link"), THERE, Placement("/t/x", "real", "link")),
        (CopiedPath("/real", False, "link"), MISSING, Placement("/t", "real", "x")),
    ],
)
def test_placements(source: CopiedPath, target: CopyDestination, found: Placement) -> None:
    assert place(source, target) == found


def test_what_does_not_fit() -> None:
    with pytest.raises(InvalidInput, match="cannot copy directory /s/d to /t/x"):
        place(DIRECTORY, A_FILE)
    with pytest.raises(NotFound, match="no such directory: /t/x/"):
        place(FILE, TO_BE_DIRECTORY)


def test_names_in_archives() -> None:
    assert renamed(("d", "a"), Placement("/t", "d", "x")) == ("x", "a")
    assert renamed(("a",), Placement("/t", ".", "x")) == ("x", "a")
    assert renamed(("d", "d"), Placement("/t", "d")) == ("d", "d")
    assert renamed(("other",), Placement("/t", "d", "x")) == ("other",)
    assert renamed((), Placement("/t", ".", "x")) == ("x",)


def copy(source: str, target: str, *, follow: bool = False) -> None:
    """From one local place to another, as between two machines."""
    found = local_source(source, follow=follow)
    extraction = LocalExtraction(place(found, local_target(target)), keep_owner=False)
    extraction.run(PieceReader(archive(found)).read)


def tree(path: Path) -> dict[str, tuple[int, object]]:
    """Modes and contents by name."""
    found: dict[str, tuple[int, object]] = {}
    for each in sorted(path.rglob("*")):
        status = each.lstat()
        content: object = os.readlink(each) if each.is_symlink() else each.read_bytes() if each.is_file() else ""  # noqa: PTH115
        found[str(each.relative_to(path))] = status.st_mode, content
    return found


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with one of everything."""
    monkeypatch.chdir(tmp_path)
    made = tmp_path / "from"
    (made / "sub/deep").mkdir(parents=True)
    (made / "sub/file").write_bytes(b"x" * (3 * CHUNK_BYTES + 5))
    (made / "empty").touch(0o640)
    (made / "link").symlink_to("sub/file")
    (made / "dangling").symlink_to("/no/where")
    os.link(made / "empty", made / "sub/second-name")
    os.mkfifo(made / "fifo")
    (made / "n\udcffé").write_text("name")
    (made / "program").write_text("#!")
    (made / "program").chmod(0o4755)
    (made / "sub/deep").chmod(0o500)
    os.utime(made / "sub", ns=(0, 1_234_567_891))
    return made


def test_there_and_back(source: Path, tmp_path: Path) -> None:
    copy("from", "new")
    expected = tree(source)
    mode, content = expected["program"]
    expected["program"] = mode & ~stat.S_ISUID, content
    assert tree(tmp_path / "new") == expected
    assert (tmp_path / "new/sub").stat().st_mtime_ns == 1_234_567_891
    assert (tmp_path / "new/empty").samefile(tmp_path / "new/sub/second-name")
    copy("from", "new")  # into it, as it is there now
    assert tree(tmp_path / "new/from") == expected
    copy("from/.", "new")
    copy("from/sub/.", "contents")
    assert set(tree(tmp_path / "contents")) == {"deep", "file", "second-name"}
    copy("from/program", "one")
    copy("from/program", "new/sub")
    assert (tmp_path / "one").read_text() == (tmp_path / "new/sub/program").read_text() == "#!"
    copy("from/empty", "one")
    assert (tmp_path / "one").read_text() == ""


def test_links_of_the_source(source: Path, tmp_path: Path) -> None:
    copy("from/link", "as-link")
    assert (tmp_path / "as-link").readlink() == Path("sub/file")
    copy("from/link", "as-file", follow=True)
    assert (tmp_path / "as-file").stat().st_size == (source / "sub/file").stat().st_size
    (tmp_path / "to").symlink_to("from/sub")
    (tmp_path / "out").mkdir()
    copy("to", "out")
    assert (tmp_path / "out/to").is_symlink()
    (tmp_path / "out/to").unlink()
    copy("to/", "out")
    assert (tmp_path / "out/to/file").is_file() and not (tmp_path / "out/to").is_symlink()
    copy("to/.", "contents")
    assert (tmp_path / "contents/file").is_file()


def test_targets(source: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "link").symlink_to("elsewhere")
    copy("from/empty", "link")
    assert (tmp_path / "elsewhere/empty").is_file()
    (tmp_path / "dangling").symlink_to("elsewhere/made")
    copy("from/empty", "dangling")
    assert (tmp_path / "elsewhere/made").is_file()
    for target, text in (
        ("none/x", "does not exist"),
        ("from/empty/", "not a directory"),
        ("from/fifo", "regular file"),
    ):
        with pytest.raises(InvalidInput, match=text):
            copy("from/program", target)
    with pytest.raises(NotFound, match="lstat none: no such file"):
        copy("none", "x")
    (tmp_path / "new/from").mkdir(parents=True)
    (tmp_path / "new/from/sub").touch()
    with pytest.raises(InvalidInput, match="cannot overwrite non-directory 'from/sub' with a directory"):
        copy("from", "new")
    (tmp_path / "over/empty").mkdir(parents=True)
    with pytest.raises(InvalidInput, match="cannot overwrite directory 'empty' with a non-directory"):
        copy("from/empty", "over")


def test_archives_are_read_by_tar(source: Path) -> None:
    content = b"".join(archive(local_source("from", follow=False), "named"))
    with tarfile.open(fileobj=io.BytesIO(content)) as tar:
        names = tar.getnames()
        assert names[0] == "named" and "named/sub/file" in names
        assert tar.getmember("named/sub/second-name").islnk()
        assert tar.getmember("named/sub/file").size == (source / "sub/file").stat().st_size


def test_a_file_that_shrinks_is_filled_up(source: Path) -> None:
    pieces = archive(local_source("from/sub/file", follow=False))
    first = next(pieces)
    os.truncate(source / "sub/file", 0)
    with tarfile.open(fileobj=io.BytesIO(first + b"".join(pieces))) as tar:
        found = tar.extractfile("file")
        assert found is not None and len(found.read()) == 3 * CHUNK_BYTES + 5
