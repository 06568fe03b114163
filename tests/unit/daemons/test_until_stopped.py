"""A daemon runs until its work ends or a signal ends it."""

import asyncio
import os
import signal

import pytest

from shoal.daemons.until_stopped import run_until_stopped
from shoal.errors import Unavailable


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_cancels_the_work_which_cleans_up(number: signal.Signals) -> None:
    ended: list[str] = []

    async def work() -> None:
        try:
            os.kill(os.getpid(), number)
            await asyncio.Event().wait()
        finally:
            ended.append("cleaned up")

    assert asyncio.run(run_until_stopped(work(), name="work"))
    assert ended == ["cleaned up"]


def test_work_that_ends_by_itself_was_not_stopped() -> None:
    async def work() -> None:
        task = asyncio.current_task()
        assert task is not None and task.get_name() == "work"

    assert not asyncio.run(run_until_stopped(work(), name="work"))


def test_an_error_of_the_work_is_raised() -> None:
    async def work() -> None:
        raise Unavailable("no disk")

    with pytest.raises(Unavailable, match="no disk"):
        asyncio.run(run_until_stopped(work(), name="work"))
