"""Directories of a root, entry by entry."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.archives.directory_listing import directory_entries
from shoal.errors import InvalidInput, NotFound, Refused


@pytest.fixture
def root(tmp_path: Path) -> Iterator[int]:
    (tmp_path / "dir/sub").mkdir(parents=True)
    (tmp_path / "dir/file").write_bytes(b"12345")
    (tmp_path / "dir/umlaut-\udcff").write_bytes(b"")
    (tmp_path / "dir/out").symlink_to("/etc/pass\udcff")
    (tmp_path / "inside").symlink_to("/../../dir")
    descriptor = os.open(tmp_path, os.O_PATH)
    yield descriptor
    os.close(descriptor)


def test_entries_are_as_they_are_and_no_link_leads_out(root: int) -> None:
    for path in ("/dir", "/inside", "/dir/../inside/"):
        found = {each.name: each for each in directory_entries(root, path)}
        assert sorted(found) == ["file", "out", "sub", "umlaut-\ufffd"], path
        assert found["file"].status.st_size == 5 and stat.S_ISDIR(found["sub"].status.st_mode)
        assert stat.S_ISLNK(found["out"].status.st_mode) and found["out"].link_target == "/etc/pass\ufffd"


def test_what_goes_meanwhile_is_left_out(root: int, tmp_path: Path) -> None:
    for number in range(2000):
        (tmp_path / f"dir/{number}").touch()
    entries = directory_entries(root, "/dir")
    next(entries)
    for number in range(2000):
        (tmp_path / f"dir/{number}").unlink()
    assert len(list(entries)) < 2000


def test_what_is_no_directory_of_the_container_is_refused(root: int) -> None:
    with pytest.raises(InvalidInput, match="not a directory"):
        next(directory_entries(root, "/dir/file"))
    with pytest.raises(NotFound):
        next(directory_entries(root, "/dir/out"))
    with pytest.raises(InvalidInput, match="not an absolute path"):
        next(directory_entries(root, "dir"))
    host = os.open("/", os.O_PATH)
    with pytest.raises(Refused, match="file system of the kernel"):
        next(directory_entries(host, "/proc"))
    os.close(host)
