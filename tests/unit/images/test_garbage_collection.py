"""What goes when the disk runs short; what is told while a pull goes on; work shared between callers."""

import asyncio
import os
from collections.abc import Callable

from agent.disk_full import usable_blocks
from agent.images.garbage_collection import GcCandidate, ImageGcPolicy, collectable, is_low_on_space
from agent.images.pull_progress import PullProgress, PullState, progress_line
from agent.images.single_flight import SingleFlight

POLICY = ImageGcPolicy(low_fraction=0.2, grace_seconds=100.0)


def test_the_longest_unused_goes_first_and_used_ones_stay() -> None:
    images = [
        GcCandidate("new", "new", 950),
        GcCandidate("b", "b", 500),
        GcCandidate("a", "a", 100),
        GcCandidate("u", "t", 1),
    ]
    assert collectable(images, frozenset({"t"}), 1000, POLICY) == ("a", "b")
    assert collectable(images, frozenset({"u", "a"}), 1000, POLICY) == ("b",)


def test_when_the_disk_runs_short() -> None:
    assert is_low_on_space(19, 100, POLICY)
    assert not is_low_on_space(20, 100, POLICY)


def test_progress_lines() -> None:
    assert progress_line(PullState(5, 2, 40_000_000, 12_100_000)) == "pulling 3 of 5 layers, 12.1 of 40.0 MB"
    assert progress_line(PullState(5, 2, 40_000_000, 40_000_000)) == "unpacking 3 of 5 layers"
    assert progress_line(PullState(5, 5, 40_000_000, 40_000_000)) == "pulled 5 of 5 layers, 40.0 MB"


def test_progress_is_not_told_too_often() -> None:
    now, lines = 0.0, list[str]()
    progress = PullProgress([1000], lines.append, clock=lambda: now)
    for _ in range(100):
        progress.add_bytes(5)
    assert len(lines) == 1
    now = 1.0
    progress.add_bytes(5)
    assert len(lines) == 2


def test_work_ends_with_its_last_caller() -> None:
    async def run() -> None:
        shared, ended = SingleFlight[str, int](), list[str]()

        async def work(_: Callable[[str], None]) -> int:
            try:
                await asyncio.Event().wait()
                return 1
            finally:
                ended.append("work")

        callers = [asyncio.create_task(shared.run("k", ended.append, work)) for _ in range(2)]
        await asyncio.sleep(0)
        callers[0].cancel()
        await asyncio.wait(callers[:1])
        assert not ended and shared.is_active
        callers[1].cancel()
        await asyncio.wait(callers)
        assert ended == ["work"] and not shared.is_active

    asyncio.run(run())


def test_a_failure_reaches_all_callers_and_is_not_kept() -> None:
    async def run() -> None:
        shared = SingleFlight[str, int]()

        async def fail(_: Callable[[str], None]) -> int:
            raise ValueError("broken")

        async def work(_: Callable[[str], None]) -> int:
            return 1

        outcomes = await asyncio.gather(*(shared.run("k", print, fail) for _ in range(3)), return_exceptions=True)
        assert [str(each) for each in outcomes] == ["broken"] * 3
        assert await shared.run("k", print, work) == 1

    asyncio.run(run())


def test_reserved_blocks_are_neither_used_nor_available() -> None:
    # 100 blocks, 40 of them reserved, 50 used: 10 of 60 are available, as df(1) says.
    disk = os.statvfs_result((4096, 4096, 100, 50, 10, 0, 0, 0, 0, 255))
    assert usable_blocks(disk) == 60
    assert not is_low_on_space(disk.f_bavail, usable_blocks(disk), ImageGcPolicy(low_fraction=0.15))
    assert is_low_on_space(disk.f_bavail, disk.f_blocks, ImageGcPolicy(low_fraction=0.15))
