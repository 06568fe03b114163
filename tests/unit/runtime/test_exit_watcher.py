"""Ends told once, from real processes that stand in for a container and its conmon."""

import asyncio
import os
import signal
import subprocess
from pathlib import Path

import pytest

from agent.runtime.container_paths import ContainerPaths, ContainerRecord
from agent.runtime.kernel.cgroup_layout import CgroupLayout
from agent.runtime.kernel.cgroups import Cgroups
from agent.runtime.kernel.processes import process_start_time
from agent.runtime.supervision.exit_watcher import LOST_EXIT_CODE, UNSUPERVISED, ExitWatcher
from agent.worker.container_runtime import Exit

GONE = 4_194_304
"""Above the greatest process id."""


def sleeper() -> subprocess.Popen[bytes]:
    return subprocess.Popen(["sleep", "1000"])


def record_of(first: int, conmon: int, container_id: str = "") -> ContainerRecord:
    started = process_start_time(first) or 0, process_start_time(conmon) or 0
    return ContainerRecord("t", "crun", first, started[0], conmon, started[1], 0, 1, 1, container_id)


class Watching:
    """An ExitWatch on an empty host, and what it told."""

    def __init__(self, directory: Path) -> None:
        self.places = ContainerPaths(run=directory / "run", state=directory / "state")
        self.places.create()
        self.reported: list[Exit] = []
        cgroups = Cgroups(layout=CgroupLayout({}, directory / "cgroup"), parent="/shoal")
        self.watch = ExitWatcher(
            paths=self.places, cgroups=cgroups, clock=lambda: 42, on_exit=lambda _, end: self.reported.append(end)
        )

    async def one(self) -> Exit:
        async with asyncio.timeout(60):
            while not self.reported:  # noqa: ASYNC110 - told by a reader of the loop
                await asyncio.sleep(0.001)
        return self.reported[0]


def test_the_end_waits_for_conmon_and_its_exit_file(tmp_path: Path) -> None:
    """The first process is gone and waited for, the exit file not yet written: the code is not lost."""

    async def body() -> None:
        watching, conmon = Watching(tmp_path), sleeper()
        try:
            assert watching.watch.add(record_of(GONE, conmon.pid)) is None
            assert watching.watch.is_running("t")
            (watching.places.exits / "t").write_text("3")
        finally:
            conmon.kill()
        assert (await watching.one()).code == 3
        assert not watching.watch.is_running("t")
        conmon.returncode = -signal.SIGKILL

    asyncio.run(body())


@pytest.mark.parametrize("is_there", ["before", "while the program runs", "afterwards"])
def test_the_end_of_a_kept_container_does_not_wait_for_conmon(tmp_path: Path, is_there: str) -> None:
    """It is about to unmount the root file system, which may take long."""

    async def body() -> None:
        watching, conmon = Watching(tmp_path), sleeper()
        first = sleeper() if is_there == "while the program runs" else None
        draft, file = watching.places.exits / "draft", watching.places.exits / "t"
        draft.write_text("3")
        try:
            if is_there == "before":
                draft.rename(file)
            assert watching.watch.add(record_of(first.pid if first else GONE, conmon.pid, "box")) is None
            await asyncio.sleep(0.02)
            if is_there != "before":
                assert watching.watch.is_running("t")
                draft.rename(file)
            if first is not None:
                await asyncio.sleep(0.02)
                assert watching.watch.is_running("t"), "conmon writes it only after the end"
                first.kill()
                first.returncode = -signal.SIGKILL
            async with asyncio.timeout(1):
                assert (await watching.one()).code == 3
            await asyncio.sleep(0.02)
            assert len(watching.reported) == 1 and conmon.poll() is None
            watching.watch.close()
        finally:
            conmon.kill()
            conmon.wait()

    asyncio.run(body())


def test_without_conmon_it_is_stopped_and_its_code_counts_for_nothing(tmp_path: Path) -> None:
    async def body() -> None:
        watching, first = Watching(tmp_path), sleeper()
        assert watching.watch.add(record_of(first.pid, GONE)) is None
        assert await watching.one() == Exit(LOST_EXIT_CODE, oom_killed=False, at_ms=42, message=UNSUPERVISED)
        first.returncode = -signal.SIGTERM

    asyncio.run(body())


def test_lost_when_nobody_knows(tmp_path: Path) -> None:
    async def body() -> None:
        watching = Watching(tmp_path)
        end = watching.watch.add(record_of(GONE, GONE))
        assert end is not None
        assert end.code == 255
        assert "exit code is lost" in end.message
        assert watching.reported == []

    asyncio.run(body())


@pytest.mark.parametrize("ticks", [0, 1])
def test_another_process_with_the_same_number_is_left_alone(tmp_path: Path, ticks: int) -> None:
    async def body() -> None:
        watching = Watching(tmp_path)
        own = os.getpid()
        assert watching.watch.add(ContainerRecord("t", "crun", own, ticks, own, ticks, 0, 1, 1)) is not None

    asyncio.run(body())
