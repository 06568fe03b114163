"""The files of a log: their sizes, and following conmon, played here, from one to the next."""

import asyncio
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.runtime.logs.log_files import MIN_LOG_BYTES, LogFileLimits, log_file_limits, numbered_log_files
from agent.runtime.logs.log_follower import LogFollower
from agent.runtime.logs.rotated_log import RotatedLog, link_first_file
from agent.runtime.supervision.conmon import reopen_log
from shoal.logs.log_lines import timestamp_bytes

SIZES = LogFileLimits(bytes=100, count=4)


class Conmon:
    """Writes lines, and replaces the file as conmon does."""

    def __init__(self, directory: Path) -> None:
        self._current = directory / "log"
        self._current.touch()
        self._at_ns = 1_795_475_880_000_000_000

    def write(self, text: str) -> None:
        with self._current.open("ab") as file:
            self._at_ns += 1
            file.write(timestamp_bytes(self._at_ns) + f" stdout F {text}\n".encode())

    def replace(self) -> None:
        made = self._current.with_suffix(".tmp")
        made.write_bytes(b"")
        made.rename(self._current)


def numbers(directory: Path) -> list[int]:
    return [piece.number for piece in numbered_log_files(directory)]


@given(st.integers(4096, 1 << 40), st.integers(1, 100))
def test_sizes_keep_the_bound(max_bytes: int, max_files: int) -> None:
    sizes = log_file_limits(max_bytes, max_files)
    assert sizes.bytes * sizes.count <= max(max_bytes * max_files, MIN_LOG_BYTES)
    assert sizes.bytes >= 16 << 10
    # What is there to be read when a file has just been begun.
    assert sizes.bytes * (sizes.count - 2) >= max_bytes * max_files // 2 - sizes.count


def test_each_file_keeps_its_lines_and_the_oldest_go(tmp_path: Path) -> None:
    conmon = Conmon(tmp_path)
    link_first_file(tmp_path)
    kept = RotatedLog(tmp_path, SIZES)
    kept.link_current(None)
    for number in range(1, 7):
        assert numbers(tmp_path) == list(range(max(1, number - 2), number + 1))
        conmon.write(str(number))
        conmon.replace()
        kept.link_current(1)


def test_the_number_of_files_holds_before_it_is_told(tmp_path: Path) -> None:
    conmon = Conmon(tmp_path)
    link_first_file(tmp_path)
    kept = RotatedLog(tmp_path, SIZES)
    for _ in range(20):
        conmon.replace()
        inodes = {path.stat().st_ino for path in tmp_path.iterdir()}
        assert len(inodes) <= SIZES.count
        kept.link_current(1)


def test_files_that_came_and_went_in_between_leave_a_gap(tmp_path: Path) -> None:
    conmon = Conmon(tmp_path)
    link_first_file(tmp_path)
    kept = RotatedLog(tmp_path, SIZES)
    for _ in range(3):
        conmon.replace()
    kept.link_current(3)
    assert numbers(tmp_path) == [1, 4]


def test_a_file_that_was_named_before_it_was_told_of_has_the_gap_after_it(tmp_path: Path) -> None:
    conmon = Conmon(tmp_path)
    link_first_file(tmp_path)
    kept = RotatedLog(tmp_path, SIZES)
    conmon.replace()
    conmon.replace()
    kept.link_current(1)
    kept.link_current(1)
    conmon.replace()
    kept.link_current(1)
    assert numbers(tmp_path) == [1, 2, 4]


@pytest.mark.parametrize(("replaced", "expected"), [(0, [1]), (1, [1, 2])])
def test_an_agent_that_was_away_for_one_file_loses_nothing(tmp_path: Path, replaced: int, expected: list[int]) -> None:
    conmon = Conmon(tmp_path)
    link_first_file(tmp_path)
    for _ in range(replaced):
        conmon.write("before")
        conmon.replace()
        conmon.write("after")
    RotatedLog(tmp_path, SIZES).link_current(None)
    assert numbers(tmp_path) == expected


def test_an_agent_that_was_away_for_longer_says_so(tmp_path: Path) -> None:
    conmon = Conmon(tmp_path)
    link_first_file(tmp_path)
    conmon.replace()
    kept = tmp_path / "log-1"

    def later() -> Iterator[bool]:
        """Until the clock of files has gone on by more than its ticks."""
        while True:
            conmon.replace()
            yield (tmp_path / "log").stat().st_ctime_ns > kept.stat().st_ctime_ns + 50_000_000

    assert any(later())
    RotatedLog(tmp_path, SIZES).link_current(None)
    assert numbers(tmp_path) == [1, 3]


def test_the_keeper_follows_what_the_kernel_tells(tmp_path: Path) -> None:
    logs = tmp_path / "logs"
    logs.mkdir()
    conmon = Conmon(logs)
    link_first_file(logs)

    async def follow() -> None:
        reconciler = LogFollower()
        try:
            reconciler.add("task", logs, SIZES, bundle=tmp_path)
            for expected in ([1, 2], [1, 2, 3], [2, 3, 4]):
                conmon.replace()
                async with asyncio.timeout(60):
                    while numbers(logs) != expected:  # noqa: ASYNC110 - the kernel tells the keeper alone
                        await asyncio.sleep(0.001)
            conmon.replace()
            await asyncio.wrap_future(reconciler.remove("task"))
            assert numbers(logs) == [3, 4, 5]
            conmon.replace()
            await asyncio.wrap_future(reconciler.remove("task"))
            assert numbers(logs) == [3, 4, 5]
        finally:
            reconciler.close()

    asyncio.run(follow())


def test_a_task_that_is_started_again_where_an_agent_ended_goes_on_in_its_log(tmp_path: Path) -> None:
    conmon = Conmon(tmp_path)
    link_first_file(tmp_path)
    link_first_file(tmp_path)
    conmon.write("hello")
    kept = RotatedLog(tmp_path, SIZES)
    kept.link_current(None)
    assert numbers(tmp_path) == [1]
    conmon.replace()
    kept.link_current(1)
    assert numbers(tmp_path) == [1, 2]


def test_a_log_that_cannot_be_followed_keeps_no_other_and_no_removal_waiting(tmp_path: Path) -> None:
    broken, logs = tmp_path / "broken", tmp_path / "logs"
    for directory in (broken, logs):
        directory.mkdir()
    (broken / "log-1").symlink_to(tmp_path / "nowhere")
    conmon = Conmon(logs)
    link_first_file(logs)

    async def follow() -> None:
        reconciler = LogFollower()
        try:
            reconciler.add("broken", broken, SIZES, bundle=tmp_path)
            reconciler.add("task", logs, SIZES, bundle=tmp_path)
            conmon.replace()
            async with asyncio.timeout(60):
                await asyncio.wrap_future(reconciler.remove("broken"))
                await asyncio.wrap_future(reconciler.remove("task"))
            assert numbers(logs) == [1, 2]
        finally:
            reconciler.close()

    asyncio.run(follow())


def test_a_supervisor_that_hears_nothing_is_no_error(tmp_path: Path) -> None:
    assert not reopen_log(tmp_path)
    os.mkfifo(tmp_path / "ctl")
    assert not reopen_log(tmp_path), "nobody reads"
    reader = os.open(tmp_path / "ctl", os.O_RDONLY | os.O_NONBLOCK)
    try:
        assert reopen_log(tmp_path)
        writer = os.open(tmp_path / "ctl", os.O_WRONLY | os.O_NONBLOCK)
        with suppress(BlockingIOError):
            while os.write(writer, bytes(4096)):
                pass
        os.close(writer)
        assert not reopen_log(tmp_path), "it is stopped, and its pipe is full"
    finally:
        os.close(reader)
