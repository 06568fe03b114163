"""The journal's file: what was written last counts, whatever is cut off its end."""

import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.journal import record_log
from agent.journal.frames import frame
from agent.journal.record_log import RecordLog

CHANGES = st.lists(
    st.dictionaries(st.sampled_from(["task/a", "task/ä", "peer/c"]), st.none() | st.binary(max_size=20), min_size=1),
    max_size=12,
)


@given(CHANGES, st.integers(0, 40))
def test_a_file_whose_end_is_lost_gives_what_was_before(changes: list[dict[str, bytes | None]], lost: int) -> None:
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "records")
        log = RecordLog(path)
        log.load()
        known: dict[str, bytes] = {}
        states, ends = [dict(known)], [0]
        for change in changes:
            log.write(change)
            for name, value in change.items():
                known.pop(name, None)
                known.update({name: value} if value is not None else {})
                states.append(dict(known))
                ends.append(ends[-1] + len(frame(name, value)))
        assert RecordLog(path).load() == known
        if changes:
            os.truncate(path, max(0, ends[-1] - lost))
            whole = max(place for place, end in enumerate(ends) if end <= max(0, ends[-1] - lost))
            assert RecordLog(path).load() == states[whole]


def test_zeros_at_the_end_are_cut_off_and_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "records"
    path.write_bytes(frame("task/a", b"1") + bytes(100))
    log = RecordLog(path)
    assert log.load() == {"task/a": b"1"}
    assert "is corrupt" in caplog.text
    log.write({"task/b": b"2"})
    assert RecordLog(path).load() == {"task/a": b"1", "task/b": b"2"}


@given(st.data())
def test_a_byte_that_is_not_as_it_was_written_costs_one_record(data: st.DataObject) -> None:
    """As where a loss of power has left a block of the file as it was before."""
    first, second, third = (frame(f"task/{name}", name.encode() * 10) for name in "abc")
    whole = bytearray(first + second + third)
    whole[data.draw(st.integers(len(first), len(first + second) - 1))] ^= data.draw(st.integers(1, 255))
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "records")
        path.write_bytes(whole)
        log = RecordLog(path)
        assert log.load() == {"task/a": b"a" * 10, "task/c": b"c" * 10}
        assert path.read_bytes() == first + third
        log.write({"task/d": b"d"})
        assert path.read_bytes() == first + third + frame("task/d", b"d")


def test_a_file_that_is_mostly_out_of_date_is_rewritten(tmp_path: Path) -> None:
    path = tmp_path / "records"
    log = RecordLog(path)
    log.load()
    log.write({"task/kept": b"k"})
    for _ in range(40):
        log.write({"task/a": bytes(record_log.REWRITE_BYTES // 10)})
    log.write({"task/a": b"last"})
    assert path.stat().st_size < 2 * record_log.REWRITE_BYTES
    assert RecordLog(path).load() == {"task/kept": b"k", "task/a": b"last"}
    assert [each.name for each in tmp_path.iterdir()] == ["records"]
