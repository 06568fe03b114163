"""Pauses while a container's files are read: whoever ends, and however, the container continues."""

import asyncio

import pytest

from agent.streams.copy_pause import CopyPause
from shoal.errors import NotFound, Refused, Unavailable


class Tasks:
    """One running task that can be paused."""

    def __init__(self, *, running: bool = True) -> None:
        self.running = running
        self.paused = False
        self.log: list[bool] = []
        self.failure: Exception | None = None
        self.frozen = asyncio.Event()
        self.frozen.set()

    def task_of(self, own_id: str) -> str:
        if not self.running:
            raise NotFound("not running")
        return own_id

    async def set_paused(self, task_id: str, paused: bool, *, briefly: bool = False) -> None:
        if self.failure is not None:
            raise self.failure
        if self.paused == paused:
            raise Refused("already")
        assert briefly is paused, task_id
        self.paused = paused
        self.log.append(paused)
        await self.frozen.wait()


def test_it_is_paused_until_the_last_copy_ends() -> None:
    async def body() -> None:
        tasks = Tasks()
        pause = CopyPause(task_of=tasks.task_of, tasks=tasks)
        async with pause.during("box"):
            async with pause.during("box"):
                assert tasks.log == [True]
            assert tasks.log == [True]
        assert tasks.log == [True, False]
        with pytest.raises(ValueError, match="broken"):
            async with pause.during("box"):
                raise ValueError("broken")
        assert tasks.log == [True, False] * 2

    asyncio.run(body())


def test_what_its_user_has_paused_stays_so() -> None:
    async def body() -> None:
        tasks = Tasks()
        pause = CopyPause(task_of=tasks.task_of, tasks=tasks)
        tasks.paused = True
        async with pause.during("box"):
            pass
        assert tasks.paused
        tasks.paused = False
        async with pause.during("box"):
            tasks.paused = False  # by a signal
        assert not tasks.paused

    asyncio.run(body())


def test_one_that_does_not_run_is_not_paused_and_a_failure_is_told() -> None:
    async def body() -> None:
        tasks = Tasks(running=False)
        pause = CopyPause(task_of=tasks.task_of, tasks=tasks)
        async with pause.during("box"):
            assert not tasks.paused
        tasks.running, tasks.failure = True, Unavailable("the kernel refused")
        with pytest.raises(Unavailable):
            async with pause.during("box"):
                raise AssertionError

    asyncio.run(body())


def test_a_caller_that_leaves_while_it_is_being_paused() -> None:
    async def body() -> None:
        tasks = Tasks()
        tasks.frozen.clear()
        pause = CopyPause(task_of=tasks.task_of, tasks=tasks)

        async def copy() -> None:
            async with pause.during("box"):
                raise AssertionError

        copying = asyncio.create_task(copy())
        await asyncio.sleep(0.01)
        assert tasks.paused
        copying.cancel()
        tasks.frozen.set()
        with pytest.raises(asyncio.CancelledError):
            await copying
        assert not tasks.paused

    asyncio.run(body())
