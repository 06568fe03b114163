"""Digests that are kept between builds are believed only of files that have not changed since."""

import os
import time
from pathlib import Path

from cli.builds.context_key import context_key
from cli.builds.known_digests import MAX_FILES, KnownDigests, known_digests

LATER = 1 << 63


def test_a_file_is_known_until_it_changes(tmp_path: Path) -> None:
    file = tmp_path / "f"
    file.write_text("one")
    known = KnownDigests(tmp_path / "cache" / "k", now_ns=lambda: LATER)
    assert known.find("f", file.lstat()) == b""
    known.add("f", file.lstat(), b"1" * 32)
    known.save()
    again = KnownDigests(tmp_path / "cache" / "k")
    assert again.find("f", file.lstat()) == b"1" * 32 and again.find("g", file.lstat()) == b""
    again.save()
    before = file.lstat()
    file.write_text("two")
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert KnownDigests(tmp_path / "cache" / "k").find("f", file.lstat()) == b"", "the time was set back"


def test_what_was_changed_just_now_is_not_remembered(tmp_path: Path) -> None:
    file = tmp_path / "f"
    file.write_text("one")
    known = KnownDigests(tmp_path / "k")
    known.add("f", file.lstat(), b"1" * 32)
    known.save()
    assert KnownDigests(tmp_path / "k").find("f", file.lstat()) == b""


def test_a_damaged_file_is_none(tmp_path: Path) -> None:
    for content in (b"", b"{}", b"\xff\xfe", b"[]", b'{"version": 1, "files": 7}', b'{"version": 2, "files": {}}'):
        (tmp_path / "k").write_bytes(content)
        assert KnownDigests(tmp_path / "k").find("f", tmp_path.stat()) == b""


def test_few_contexts_are_remembered(tmp_path: Path) -> None:
    environment = {"XDG_CACHE_HOME": str(tmp_path)}
    for number in range(MAX_FILES + 3):
        known_digests(environment, str(number)).save()
        time.sleep(0.001)
    assert len(list((tmp_path / "shoal" / "contexts").iterdir())) == MAX_FILES


def test_keys_are_of_images_else_of_directories(tmp_path: Path) -> None:
    one = context_key(["docker.io/team/web:1"], tmp_path)
    assert one == context_key(["docker.io/team/web:2", "docker.io/x:1"], tmp_path / "other")
    assert one != context_key(["docker.io/team/api:1"], tmp_path)
    assert context_key([], tmp_path) != context_key([], tmp_path / "other")
