"""Digests of what is copied: what reaches the result counts, and contents that are known are not read."""

import io
import os
import tarfile
from collections.abc import Callable, Mapping
from pathlib import Path

from agent.archives.disk_budget import DiskBudget
from agent.archives.known_content import KnownContent
from agent.archives.tar_extract import ExtractOptions, extract
from agent.build.program.caching.content_digest import ContentDigest
from agent.build.program.copying.copy_sources import walk


def digest(directory: Path, known: Mapping[int, KnownContent] | None = None) -> str:
    root = os.open(directory, os.O_PATH)
    content = ContentDigest(known=known or {})
    try:
        for found in walk(root, "", None):
            content.add(found)
    finally:
        os.close(root)
    return content.hexdigest()


def unpack(directory: Path, files: Mapping[str, bytes]) -> dict[int, KnownContent]:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    buffer.seek(0)
    directory.mkdir()
    root = os.open(directory, os.O_PATH)
    known: dict[int, KnownContent] = {}
    try:
        options = ExtractOptions(owner=(os.getuid(), os.getgid()), known=known)
        extract(root, "/", buffer.read, options, DiskBudget(root, reserve_bytes=0))
    finally:
        os.close(root)
    return known


def changed(path: Path, change: Callable[[Path], object]) -> str:
    change(path)
    return digest(path)


def test_what_is_received_has_the_digest_that_reading_gives(tmp_path: Path) -> None:
    known = unpack(tmp_path / "c", {"a": b"1", "d/b": b"2" * 3_000_000, "a2": b"", "again": b"x"})
    os.link(tmp_path / "c" / "a", tmp_path / "c" / "d" / "linked")
    assert len(known) == 4
    assert digest(tmp_path / "c", known) == digest(tmp_path / "c")
    opened: list[object] = []
    try:
        real, os.read = os.read, lambda *given: opened.append(given) or real(*given)  # type: ignore[func-returns-value]
        digest(tmp_path / "c", known)
    finally:
        os.read = real
    assert not opened, "nothing is read"


def test_an_entry_that_comes_again_counts_as_it_is_last(tmp_path: Path) -> None:
    known = unpack(tmp_path / "c", {"a": b"1", "./a": b"22", "b": b"333"})
    assert digest(tmp_path / "c", known) == digest(tmp_path / "c")


def test_content_modes_and_names_count_and_times_do_not(tmp_path: Path) -> None:
    root = tmp_path / "c"
    root.mkdir()
    (root / "a").write_text("1")
    first = digest(root)
    assert changed(root, lambda path: os.utime(path / "a", ns=(1, 1))) == first
    assert (second := changed(root, lambda path: (path / "a").chmod(0o600))) != first
    assert (third := changed(root, lambda path: (path / "a").write_text("2"))) != second
    assert changed(root, lambda path: (path / "a").rename(path / "b")) != third
