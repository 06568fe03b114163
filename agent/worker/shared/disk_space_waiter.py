"""Waits for disk space, and reports the shortage as a problem of the node meanwhile."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from agent.worker.interfaces import Report
from shoal.api.v1.service_pb2 import RestartPolicy
from shoal.errors import Exhausted
from shoal.task_group import race

WAIT_SECONDS = 60.0
"""Then the task is rejected, and the restart policy decides, which finally chooses another node."""
CHECK_SECONDS = 2.0
_CLOCK_SECONDS = 0.001
"""Timers of an event loop may be this early; a delay that is shorter than its clock's resolution would be none."""

T = TypeVar("T")
WaitCancelled = Callable[[], Coroutine[Any, Any, None]]
"""Returns when the work is not needed any more."""


def rejection_is_final(policy: RestartPolicy) -> bool:
    """Whether a rejected task may get no successor."""
    return policy.condition == RestartPolicy.NONE or policy.max_attempts > 0


async def _never() -> None:
    await asyncio.Event().wait()


class DiskSpaceWaiter:
    """Retries work that failed because of a full disk, once there is space again.

    Args:
        refusal: the error that the work raises if the disk is full.
        lacks_space: whether the disk is certainly still full; then the work is not attempted.
        set_problem: takes the problem of the disk and what to do, one line; empty if there is none.
        max_delay: seconds between two attempts while the disk seems to have space.
    """

    def __init__(
        self,
        *,
        refusal: type[Exhausted],
        lacks_space: Callable[[], bool],
        set_problem: Callable[[str], None],
        max_delay: float,
    ) -> None:
        self._refusal = refusal
        self._lacks_space = lacks_space
        self._set_problem = set_problem
        self._max_delay = max_delay
        self._waiting = 0

    async def run(
        self, work: Callable[[], Awaitable[T]], report: Report, *, is_final: bool, cancelled: WaitCancelled = _never
    ) -> T:
        """The result of the work.

        Its refusal is raised only after `WAIT_SECONDS` (never if `is_final`), or once `cancelled` returns, which
        interrupts a delay but not an attempt.
        """
        loop = asyncio.get_running_loop()
        ends_at = float("inf") if is_final else loop.time() + WAIT_SECONDS
        try:
            return await work()
        except self._refusal as error:
            refusal = error
        delay = CHECK_SECONDS
        with self._report_waiting(str(refusal)):
            while True:
                report(f"waiting for disk space: {refusal}")
                if not await self._wait_for_space(delay, ends_at, cancelled):
                    raise refusal
                try:
                    return await work()
                except self._refusal as error:
                    if loop.time() >= ends_at - _CLOCK_SECONDS:
                        raise
                    refusal = error
                delay = min(2 * delay, self._max_delay)

    async def _wait_for_space(self, delay: float, ends_at: float, cancelled: WaitCancelled) -> bool:
        """Wait at least `delay`, until there may be space again or the time is over; False if cancelled."""
        is_over = False

        async def poll() -> None:
            nonlocal is_over
            loop = asyncio.get_running_loop()
            await asyncio.sleep(min(delay, max(0.0, ends_at - loop.time())))
            while self._lacks_space() and loop.time() < ends_at:  # noqa: ASYNC110  (the kernel sends no event)
                await asyncio.sleep(CHECK_SECONDS)
            is_over = True

        await race(poll(), cancelled())
        return is_over

    @contextmanager
    def _report_waiting(self, refusal: str) -> Iterator[None]:
        if not self._waiting:
            self._set_problem(f"{refusal}; waiting tasks start automatically")
        self._waiting += 1
        try:
            yield
        finally:
            self._waiting -= 1
            if not self._waiting:
                self._set_problem("")
