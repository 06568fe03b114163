"""Lines of conmon's log, and reading them across its files."""

import asyncio
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.runtime.logs.container_logs import ContainerLogs
from agent.runtime.logs.log_cursor import LogCursor, LogLines
from agent.runtime.logs.log_files import readable_log_files
from agent.runtime.supervision.conmon import RuntimeUnsupported, creation_error
from shoal.errors import InvalidInput, NotFound, Unavailable
from shoal.logs.log_lines import LogLine, end_of_line, last_timestamp, parse_line, timestamp_bytes, to_utc


def line(number: int, *, kind: str = "F", zone: str = "+00:00") -> str:
    return f"2026-11-23T23:18:{number % 60:02}.000000001{zone} stdout {kind} line {number}\n"


def chunks(directory: Path, *, tail: int | None = None, since_ns: int = 0, size: int = 1 << 18) -> list[LogLines]:
    async def body() -> list[LogLines]:
        logs = ContainerLogs(directory=lambda _: directory, is_running=lambda _: False)
        return [found async for found in logs.read("t", tail=tail, since_ns=since_ns, chunk_bytes=size)]

    return asyncio.run(body())


def read(directory: Path, *, tail: int | None = None, since_ns: int = 0) -> list[str]:
    rows = b"".join(found.data for found in chunks(directory, tail=tail, since_ns=since_ns)).splitlines()
    return [parsed.data.decode() for parsed in map(parse_line, rows) if parsed]


def test_a_line_is_time_stream_flag_and_text() -> None:
    parsed = parse_line(b"2026-11-24T00:18:27.123456789+01:00 stderr P two  words ")
    assert parsed == LogLine(1_795_475_907_123_456_789, True, b"two  words ", partial=True)
    assert parse_line(b"2026-11-23T23:18:27.5-00:30 stdout F ") == LogLine(
        1_795_477_707_500_000_000, False, b"", partial=False
    )


@given(st.binary(max_size=80))
def test_no_bytes_break_the_parsers(line: bytes) -> None:
    parse_line(line)
    to_utc(line)
    assert last_timestamp(line) in line
    assert end_of_line(line, 0) <= len(line)


@pytest.mark.parametrize("bad", [b"", b"x", b"now stdout F x", b"2026-11-23T23:18:27 stdout F x", b"a b c d"])
def test_other_lines_are_none(bad: bytes) -> None:
    assert parse_line(bad) is None


@given(st.integers(-(10**19), 3 * 10**20), st.integers(-(10**19), 3 * 10**20))
def test_times_are_in_order_as_bytes(one: int, other: int) -> None:
    assert (one <= other) >= (timestamp_bytes(one) < timestamp_bytes(other))
    parsed = parse_line(timestamp_bytes(one) + b" stdout F ")
    assert parsed is None or parsed.time_ns == one


def test_other_zones_become_utc() -> None:
    lines = line(1, zone="+01:00") + "torn\n" + line(2)
    assert to_utc(lines.encode()).decode() == line(1).replace("T23", "T22") + "torn\n" + line(2)
    assert to_utc(line(1).encode()) == line(1).encode()


FILES = {"log.10": range(3), "log.2": range(3, 5), "log-1": range(5, 7), "log-2": range(7, 7), "log-3": range(7, 12)}
"""Of an earlier version of the agent, and of this one."""


@pytest.mark.parametrize("current_is_named", [False, True])
@pytest.mark.parametrize("tail", [0, 1, 4, 5, 7, 12, 100])
def test_tail_counts_over_files(tmp_path: Path, tail: int, current_is_named: bool) -> None:
    for name, numbers in FILES.items():
        (tmp_path / name).write_text("".join(map(line, numbers)))
    if current_is_named:
        (tmp_path / "log").hardlink_to(tmp_path / "log-3")
    else:
        (tmp_path / "log-3").rename(tmp_path / "log")
    everything = [f"line {number}" for number in range(12)]
    assert [piece.number for piece in readable_log_files(tmp_path, is_over=True)] == [-10, -2, 1, 2, 3]
    assert read(tmp_path) == everything
    assert read(tmp_path, tail=tail) == everything[len(everything) - min(tail, 12) :]
    assert not any(found.lost for found in chunks(tmp_path))


def test_tail_counts_whole_lines_not_pieces(tmp_path: Path) -> None:
    (tmp_path / "log").write_text(line(1) + line(2, kind="P") + line(3, kind="P") + line(4))
    assert read(tmp_path, tail=1) == ["line 2", "line 3", "line 4"]


def test_tail_over_blocks_and_since(tmp_path: Path) -> None:
    (tmp_path / "log").write_text("".join(map(line, range(5000))))
    assert read(tmp_path, tail=4000)[0] == "line 1000"
    (tmp_path / "log").write_text("".join(map(line, range(60))))
    assert read(tmp_path, since_ns=1_795_475_880_000_000_000 + 30 * 10**9)[0] == "line 30"
    assert read(tmp_path, since_ns=1_795_475_880_000_000_000 + 60 * 10**9) == []


def test_chunks_are_whole_lines_of_about_the_size(tmp_path: Path) -> None:
    (tmp_path / "log").write_text("".join(map(line, range(5000))))
    found = chunks(tmp_path, size=1 << 14)
    assert len(found) > 10
    assert all(len(each.data) <= 1 << 14 and each.data.endswith(b"\n") for each in found)
    assert read(tmp_path) == [f"line {number}" for number in range(5000)]


def test_a_missing_number_says_that_lines_are_lost(tmp_path: Path) -> None:
    for number in (4, 6, 7):
        (tmp_path / f"log-{number}").write_text(line(number))
    assert [(found.data.decode(), found.lost) for found in chunks(tmp_path)] == [
        (line(4), False),
        (line(6), True),
        (line(7), False),
    ]


def test_a_reader_that_is_overtaken_goes_on_with_the_oldest_that_is_left(tmp_path: Path) -> None:
    (tmp_path / "log-1").write_text(line(1))
    cursor = LogCursor.at(tmp_path, is_over=False)
    assert cursor.read(1000, is_over=False) == LogLines(line(1).encode())
    assert cursor.read(1000, is_over=False) is None
    (tmp_path / "log-1").unlink()
    for number in (3, 4):
        (tmp_path / f"log-{number}").write_text(line(number))
    assert cursor.read(1000, is_over=False) == LogLines(line(3).encode(), lost=True)
    assert cursor.read(1000, is_over=False) == LogLines(line(4).encode())


def test_a_reader_waits_for_the_name_of_a_file_while_it_is_written(tmp_path: Path) -> None:
    current = tmp_path / "log"
    current.write_text(line(1))
    (tmp_path / "log-1").hardlink_to(current)
    cursor = LogCursor.at(tmp_path, is_over=False)
    assert cursor.read(1000, is_over=False) == LogLines(line(1).encode())
    with current.open("a") as more:
        more.write(line(2))
    (tmp_path / "log.tmp").write_text(line(3))
    (tmp_path / "log.tmp").rename(current)
    assert cursor.read(1000, is_over=False) == LogLines(line(2).encode())
    assert cursor.read(1000, is_over=False) is None
    assert cursor.read(1000, is_over=True) == LogLines(line(3).encode())
    assert cursor.read(1000, is_over=True) is None


def test_what_is_no_line_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes(bytes(1 << 20) + b"\n" + line(1).encode() + b"torn")
    assert read(tmp_path) == ["line 1"]


def test_a_task_without_log_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        read(tmp_path / "none")


@pytest.mark.parametrize(
    ("message", "kind", "text"),
    [
        ("executable file `x` not found in $PATH: No such file or directory\n", InvalidInput, "x: no such file"),
        ('runc: exec: "x": stat x: no such file or directory', InvalidInput, "x: no such file"),
        ("open executable: Permission denied", InvalidInput, "x: not executable"),
        ("cgroups in hybrid mode not supported", RuntimeUnsupported, "does not support this host"),
        ("", Unavailable, "no reason"),
    ],
)
def test_what_the_runtime_says_is_one_line(message: str, kind: type[Exception], text: str) -> None:
    error = creation_error(message, "crun", "x")
    assert type(error) is kind
    assert text in str(error)
    assert "\n" not in str(error)


def test_a_removal_lets_followers_read_the_rest(tmp_path: Path) -> None:
    async def body() -> None:
        logs = ContainerLogs(directory=lambda _: tmp_path, is_running=lambda _: True)
        reading = logs.read("t", follow=True, announce=True)
        assert (await anext(reading)).data == b""
        (tmp_path / "log-1").write_text(line(1))
        finished = asyncio.create_task(logs.finish("t", seconds=10))
        assert (await anext(reading)).data.decode() == line(1)
        assert not finished.done()
        assert [found async for found in reading] == []
        async with asyncio.timeout(60):
            await finished

    asyncio.run(body())


def test_a_removal_does_not_wait_long_for_who_reads_slowly(tmp_path: Path) -> None:
    async def body() -> None:
        (tmp_path / "log-1").write_text(line(1))
        logs = ContainerLogs(directory=lambda _: tmp_path, is_running=lambda _: False)
        reading = logs.read("t")
        await anext(reading)
        await logs.finish("t", seconds=0.01)
        await logs.finish("another", seconds=10)
        await reading.aclose()
        async with asyncio.timeout(60):
            await logs.finish("t", seconds=10)

    asyncio.run(body())
