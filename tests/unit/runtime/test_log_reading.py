"""Lines of conmon's log, and reading them across rotated files."""

import asyncio
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.runtime.conmon import RuntimeRefused, explain
from agent.runtime.log_lines import LogRecord, parse_line
from agent.runtime.logs import Logs, log_files
from shoal.errors import InvalidInput, NotFound, Unavailable


def line(number: int, *, kind: str = "F") -> str:
    return f"2026-11-23T23:18:{number % 60:02}.000000001+00:00 stdout {kind} line {number}\n"


def read(directory: Path, *, tail: int | None = None, since_ns: int = 0) -> list[str]:
    async def body() -> list[str]:
        logs = Logs(directory=lambda _: directory, running=lambda _: False)
        return [record.data.decode() async for record in logs.read("t", tail=tail, since_ns=since_ns)]

    return asyncio.run(body())


def test_a_line_is_time_stream_flag_and_text() -> None:
    parsed = parse_line(b"2026-11-24T00:18:27.123456789+01:00 stderr P two  words ")
    assert parsed == LogRecord(1_795_475_907_123_456_789, "stderr", b"two  words ", partial=True)
    assert parse_line(b"2026-11-23T23:18:27.5-00:30 stdout F ") == LogRecord(
        1_795_477_707_500_000_000, "stdout", b"", partial=False
    )


@given(st.binary(max_size=80))
def test_no_bytes_break_the_parser(line: bytes) -> None:
    parse_line(line)


@pytest.mark.parametrize("bad", [b"", b"x", b"now stdout F x", b"2026-11-23T23:18:27 stdout F x", b"a b c d"])
def test_other_lines_are_none(bad: bytes) -> None:
    assert parse_line(bad) is None


@pytest.mark.parametrize("tail", [0, 1, 4, 5, 7, 12, 100])
def test_tail_counts_over_files(tmp_path: Path, tail: int) -> None:
    for name, numbers in (
        ("log.10", range(3)),
        ("log.2", range(3, 7)),
        ("log.1", range(7, 7)),
        ("log", range(7, 12)),
    ):
        (tmp_path / name).write_text("".join(map(line, numbers)))
    everything = [f"line {number}" for number in range(12)]
    assert [path.name for path in log_files(tmp_path)] == ["log.10", "log.2", "log.1", "log"]
    assert read(tmp_path) == everything
    assert read(tmp_path, tail=tail) == everything[len(everything) - min(tail, 12) :]


def test_tail_counts_whole_lines_not_pieces(tmp_path: Path) -> None:
    (tmp_path / "log").write_text(line(1) + line(2, kind="P") + line(3, kind="P") + line(4))
    assert read(tmp_path, tail=1) == ["line 2", "line 3", "line 4"]


def test_tail_over_blocks_and_since(tmp_path: Path) -> None:
    (tmp_path / "log").write_text("".join(map(line, range(5000))))
    assert read(tmp_path, tail=4000)[0] == "line 1000"
    (tmp_path / "log").write_text("".join(map(line, range(60))))
    assert read(tmp_path, since_ns=1_795_475_880_000_000_000 + 30 * 10**9)[0] == "line 30"


def test_a_task_without_log_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        read(tmp_path / "none")


@pytest.mark.parametrize(
    ("message", "kind", "text"),
    [
        ("executable file `x` not found in $PATH: No such file or directory\n", InvalidInput, "x: no such file"),
        ('runc: exec: "x": stat x: no such file or directory', InvalidInput, "x: no such file"),
        ("open executable: Permission denied", InvalidInput, "x: is no program"),
        ("cgroups in hybrid mode not supported", RuntimeRefused, "refuses this host"),
        ("", Unavailable, "no reason"),
    ],
)
def test_what_the_runtime_says_is_one_line(message: str, kind: type[Exception], text: str) -> None:
    error = explain(message, "crun", "x")
    assert type(error) is kind
    assert text in str(error)
    assert "\n" not in str(error)
