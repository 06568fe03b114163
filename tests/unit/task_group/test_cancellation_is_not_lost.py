"""What the task group promises beyond asyncio's of this Python."""

import asyncio

import pytest

from shoal.task_group import TaskGroup


async def _fail_on_signal(reported: asyncio.Event) -> None:
    await reported.wait()
    raise ValueError("of its own")


async def _end_slowly(ending: asyncio.Event, over: asyncio.Event) -> None:
    try:
        await asyncio.Event().wait()
    finally:
        ending.set()
        await over.wait()


async def _again_and_again(reported: asyncio.Event, ending: asyncio.Event, over: asyncio.Event) -> None:
    """A caller that tries again on errors, as a session does."""
    while True:
        try:
            async with TaskGroup() as group:
                group.create_task(_fail_on_signal(reported))
                group.create_task(_end_slowly(ending, over))
        except* ValueError:
            reported.clear()
        await asyncio.sleep(0)


def test_a_cancellation_while_it_ends_for_an_error_ends_the_caller() -> None:
    async def run() -> None:
        reported, ending, over = asyncio.Event(), asyncio.Event(), asyncio.Event()
        caller = asyncio.create_task(_again_and_again(reported, ending, over))
        await asyncio.sleep(0)
        reported.set()
        await ending.wait()
        caller.cancel()
        await asyncio.sleep(0)
        over.set()
        async with asyncio.timeout(60):
            with pytest.raises(asyncio.CancelledError):
                await caller

    asyncio.run(run())


def test_an_error_alone_leaves_the_caller_as_it_is() -> None:
    async def run() -> None:
        reported = asyncio.Event()
        reported.set()
        with pytest.raises(ExceptionGroup):
            async with TaskGroup() as group:
                group.create_task(_fail_on_signal(reported))
        await asyncio.sleep(0)

    asyncio.run(run())


def test_a_task_that_fails_for_the_cancellation_does_not_hide_it() -> None:
    async def fails_when_cancelled() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise ValueError("while ending") from None

    async def work() -> None:
        with pytest.raises(ExceptionGroup):
            async with TaskGroup() as group:
                group.create_task(fails_when_cancelled())
        await asyncio.Event().wait()

    async def run() -> None:
        caller = asyncio.create_task(work())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        caller.cancel()
        async with asyncio.timeout(60):
            with pytest.raises(asyncio.CancelledError):
                await caller

    asyncio.run(run())


def test_a_failing_task_interrupts_the_block_and_ends_the_others() -> None:
    async def run() -> None:
        ended = asyncio.Event()

        async def other() -> None:
            try:
                await asyncio.Event().wait()
            finally:
                ended.set()

        reported = asyncio.Event()
        reported.set()
        with pytest.raises(ExceptionGroup) as raised:
            async with TaskGroup() as group:
                group.create_task(_fail_on_signal(reported))
                group.create_task(other())
                await asyncio.Event().wait()
        assert [str(error) for error in raised.value.exceptions] == ["of its own"]
        assert ended.is_set()
        task = asyncio.current_task()
        assert task is not None and not task.cancelling()

    asyncio.run(run())


def test_a_cancelled_task_of_the_group_is_no_failure() -> None:
    async def run() -> None:
        async with TaskGroup() as group:
            waiting = group.create_task(_fail_on_signal(asyncio.Event()))
            waiting.cancel()
        assert waiting.cancelled()

    asyncio.run(run())


def test_an_error_of_the_block_is_told_with_those_of_the_tasks() -> None:
    async def run() -> None:
        with pytest.raises(ExceptionGroup) as raised:
            async with TaskGroup() as group:
                group.create_task(_fail_on_signal(asyncio.Event()))
                raise KeyError("block")
        assert len(raised.value.exceptions) == 1
        with pytest.raises(RuntimeError):
            group.create_task(_fail_on_signal(asyncio.Event()))

    asyncio.run(run())


def test_a_cancellation_ends_the_tasks_and_goes_on() -> None:
    async def work() -> None:
        async with TaskGroup() as group:
            group.create_task(_fail_on_signal(asyncio.Event()))

    async def run() -> None:
        caller = asyncio.create_task(work())
        await asyncio.sleep(0)
        caller.cancel()
        with pytest.raises(asyncio.CancelledError):
            await caller

    asyncio.run(run())
