"""Changes of an upper directory against the layers below it."""

import os
from pathlib import Path

from agent.archives.changes import ChangeKind, changes

D, M, A = ChangeKind.DELETED, ChangeKind.MODIFIED, ChangeKind.ADDED


def test_each_kind_once_and_parents_first(tmp_path: Path) -> None:
    below, upper = tmp_path / "below", tmp_path / "upper"
    (below / "dir/kept").mkdir(parents=True)
    (below / "dir/changed").write_text("1")
    (below / "dir/gone").write_text("1")
    (below / "hidden").mkdir()
    (below / "hidden/old").write_text("1")
    (below / "hidden/same").write_text("1")
    (below / "file").write_text("1")
    (upper / "dir/new/deep").mkdir(parents=True)
    (upper / "dir/changed").write_text("2")
    os.mknod(upper / "dir/gone", 0o20000, 0)
    (upper / "hidden").mkdir()
    os.setxattr(upper / "hidden", "trusted.overlay.opaque", b"y")
    (upper / "hidden/same").write_text("2")
    (upper / "file").mkdir()
    (upper / "link").symlink_to("/dir")
    descriptors = [os.open(path, os.O_RDONLY | os.O_DIRECTORY) for path in (upper, below)]
    found = list(changes(*descriptors))
    for each in descriptors:
        os.close(each)
    assert found == [
        (M, "/dir"),
        (M, "/file"),
        (M, "/hidden"),
        (A, "/link"),
        (M, "/dir/changed"),
        (D, "/dir/gone"),
        (A, "/dir/new"),
        (A, "/dir/new/deep"),
        (M, "/hidden/same"),
        (D, "/hidden/old"),
    ]
