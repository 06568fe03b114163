"""The copy of the journal is read where the journal has lost something, and only there."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from agent.journal.frames import frame
from agent.journal.record_copy import RecordCopy
from agent.journal.record_log import REWRITE_BYTES, RecordLog

RECORDS = {"task/a": b"1", "task/b": b"2"}


def opened(directory: Path, owner: str = "n1") -> RecordLog:
    return RecordLog(directory / "disk" / "records", RecordCopy(directory / "run" / "journal", owner))


def written(directory: Path) -> Path:
    """A log with records, of which one was removed later; its file."""
    log = opened(directory)
    assert log.load() == {}
    log.write({**RECORDS, "task/c": b"3"})
    log.write({"task/c": None})
    return directory / "disk" / "records"


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def deleted(path: Path) -> None:
    path.unlink()


def cut(path: Path) -> None:
    """The removal is lost, so that the file tells of a record that is gone."""
    os.truncate(path, path.stat().st_size - 1)


def flipped(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(frame("task/a", b"1")) - 1] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("damage", [emptied, deleted, cut, flipped])
def test_what_the_file_has_lost_is_restored(damage: Callable[[Path], None], tmp_path: Path) -> None:
    path = written(tmp_path)
    damage(path)
    assert opened(tmp_path).load() == RECORDS
    (tmp_path / "run" / "journal").unlink()
    assert opened(tmp_path).load() == RECORDS, "it is in the file again"


def test_a_whole_file_counts_and_the_copy_follows_it(tmp_path: Path) -> None:
    path = written(tmp_path)
    older = (tmp_path / "run" / "journal").read_bytes()
    opened_again = opened(tmp_path)
    opened_again.load()
    opened_again.write({"task/d": b"4"})
    (tmp_path / "run" / "journal").write_bytes(older)
    assert opened(tmp_path).load() == {**RECORDS, "task/d": b"4"}
    emptied(path)
    assert opened(tmp_path).load() == {**RECORDS, "task/d": b"4"}


def test_the_copy_of_another_node_is_none(tmp_path: Path) -> None:
    deleted(written(tmp_path))
    assert opened(tmp_path, "n2").load() == {}
    assert opened(tmp_path).load() == {}, "it was replaced by that of the other node"


def test_a_copy_that_cannot_be_written_is_given_up_and_the_file_goes_on(tmp_path: Path) -> None:
    (tmp_path / "run").write_bytes(b"")  # where its directory should be
    log = opened(tmp_path)
    log.load()
    log.write(RECORDS)
    assert opened(tmp_path).load() == RECORDS


def test_the_copy_is_compacted_with_the_file(tmp_path: Path) -> None:
    log = opened(tmp_path)
    log.load()
    for _ in range(20):
        log.write({"task/a": bytes(REWRITE_BYTES // 10)})
    sizes = [(tmp_path / place).stat().st_size for place in ("disk/records", "run/journal")]
    assert max(sizes) < 2 * REWRITE_BYTES
    emptied(tmp_path / "disk" / "records")
    assert opened(tmp_path).load() == {"task/a": bytes(REWRITE_BYTES // 10)}
