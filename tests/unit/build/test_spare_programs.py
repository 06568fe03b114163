"""The build program that is ready before it is needed."""

import asyncio
import os

import pytest

from agent.build import spare_program
from agent.build.build_process import BuildProcess
from agent.build.spare_program import SparePrograms


class Recorded(BuildProcess):
    """Starts nothing."""

    def __init__(self, *, gives_way: bool = False) -> None:
        self.gave_way = gives_way
        self.hurried = self.has_ended = False

    @property
    def is_running(self) -> bool:
        return not self.has_ended

    def hurry(self) -> None:
        self.hurried = True

    async def end(self) -> None:
        self.has_ended = True


def test_the_next_program_is_loaded_beside_the_first_and_gives_way_until_it_is_needed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(spare_program, "BuildProcess", Recorded)

    async def scenario() -> None:
        programs = SparePrograms()
        first = programs.acquire()
        assert isinstance(first, Recorded) and not first.gave_way
        await asyncio.sleep(0)
        second = programs.acquire()
        assert isinstance(second, Recorded) and second is not first and second.gave_way and second.hurried
        await asyncio.sleep(0)
        programs.prepare()
        await programs.aclose()
        third = programs.acquire()
        assert isinstance(third, Recorded) and not third.gave_way
        await asyncio.sleep(0)
        await programs.aclose()

    asyncio.run(scenario())


def test_a_program_that_is_not_needed_yet_gives_way_to_others() -> None:
    async def scenario() -> None:
        process = BuildProcess(gives_way=True)
        try:
            pid, own = process._process.pid, os.getpriority(os.PRIO_PROCESS, 0)
            assert os.getpriority(os.PRIO_PROCESS, pid) == min(own + 10, 19)
            process.hurry()
            assert os.getpriority(os.PRIO_PGRP, pid) == own
        finally:
            await process.end()

    asyncio.run(scenario())
