"""Programs of health checks beside each other, in virtual time: those that hang hold up none but their own kind."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from agent.health.exec_pool import KILL_SECONDS, SLOTS, SLOW_AFTER_SECONDS, SLOW_SLOTS, ExecPool, ExecResult
from shoal.errors import Unavailable
from tests.fakes.container_access import ContainersToProbe
from tests.fakes.virtual_time import run_virtual

WORDS = ("probe",)
HOSTILE = 10 * SLOTS


class Host:
    """Programs that end by themselves after the seconds that their task's name ends with, or hang; some for ever."""

    def __init__(self) -> None:
        self.running = self.most_running = 0
        self.unkillable = asyncio.Event()
        self.executions = ExecPool(ContainersToProbe(self._execute))

    async def _execute(self, task_id: str, words: tuple[str, ...]) -> ExecResult:
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        try:
            await asyncio.sleep(1_000_000 if "hangs" in task_id else 0.02)
        except asyncio.CancelledError:
            if "for ever" in task_id:
                await self.unkillable.wait()
            raise
        finally:
            self.running -= 1
        return ExecResult(0, b"")

    async def waits(self, task_id: str, seconds: float = 30.0) -> float:
        """How long a check took."""
        began = asyncio.get_running_loop().time()
        try:
            await self.executions.exec(task_id, WORDS, seconds)
        except TimeoutError:
            assert "hangs" in task_id
        return asyncio.get_running_loop().time() - began


def play(scenario: Callable[[Host], Awaitable[None]]) -> None:
    async def body() -> None:
        await scenario(Host())

    run_virtual(body())


def test_any_number_that_hang_delay_others_by_seconds_once_and_then_not_at_all() -> None:
    async def scenario(host: Host) -> None:
        hostile = [asyncio.create_task(host.waits(f"hangs {number}")) for number in range(HOSTILE)]
        await asyncio.sleep(0)
        # All came at once, before it: they leave by 32 a second.
        assert await host.waits("good") <= SLOW_AFTER_SECONDS * HOSTILE / SLOTS + 0.1
        assert min(await asyncio.gather(*hostile)) >= 30
        hostile = [asyncio.create_task(host.waits(f"hangs {number}")) for number in range(HOSTILE)]
        await asyncio.sleep(0)
        assert await host.waits("good") < 0.1
        assert host.most_running <= HOSTILE + 1
        for task in hostile:
            task.cancel()
        await asyncio.gather(*hostile, return_exceptions=True)
        assert host.running == 0

    play(scenario)


def test_who_was_slow_once_is_among_the_quick_again() -> None:
    async def scenario(host: Host) -> None:
        for number in range(SLOW_SLOTS):
            await host.waits(f"hangs {number}", 1.5)
        hanging = [asyncio.create_task(host.waits(f"hangs {number}")) for number in range(SLOW_SLOTS)]
        await asyncio.sleep(0)
        assert await host.waits("good") < 0.1
        await asyncio.gather(*hanging)

    play(scenario)


def test_a_program_that_cannot_be_killed_is_the_only_one_of_its_container() -> None:
    async def scenario(host: Host) -> None:
        assert await host.waits("hangs for ever", 2) == 2 + KILL_SECONDS
        for _ in range(3):
            with pytest.raises(Unavailable, match="could not be killed"):
                await host.executions.exec("hangs for ever", WORDS, 2)
        assert host.running == 1
        host.unkillable.set()
        await asyncio.sleep(1)
        assert host.running == 0
        assert await host.waits("hangs for ever", 2) == 2

    play(scenario)


def test_what_it_answers_is_told_and_what_it_raises() -> None:
    async def scenario(host: Host) -> None:
        assert await host.executions.exec("t", WORDS, 1) == ExecResult(0, b"")

        async def refuse(task_id: str, words: tuple[str, ...]) -> ExecResult:
            raise Unavailable("no")

        with pytest.raises(Unavailable, match="no"):
            await ExecPool(ContainersToProbe(refuse)).exec("t", WORDS, 1)

    play(scenario)
