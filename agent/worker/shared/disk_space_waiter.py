"""Waits for disk space, and reports the shortage as a problem of the node meanwhile."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from agent.worker.interfaces import Report
from agent.worker.shutdown.connection_drain import race
from shoal.api.v1.service_pb2 import RestartPolicy
from shoal.errors import Exhausted

WAIT_SECONDS = 60.0
"""Then the restart policy decides, which goes to another node in the end."""
CHECK_SECONDS = 2.0

T = TypeVar("T")
WaitCancelled = Callable[[], Coroutine[Any, Any, None]]
"""Ends when nobody wants the work any more."""


def rejection_is_final(policy: RestartPolicy) -> bool:
    """Whether a task that is rejected may have no successor."""
    return policy.condition == RestartPolicy.NONE or policy.max_attempts > 0


async def _never() -> None:
    await asyncio.Event().wait()


class DiskSpaceWaiter:
    """Work that waits while a disk has no room, and is tried again once there is some.

    Args:
        refusal: the error by which the work says that there is none.
        lacks_space: whether it is certain that there is none still; then the work is not tried.
        set_problem: takes what is wrong with the disk and what to do, one line; empty when nothing is.
        max_delay: seconds between two attempts while the disk seems to have room.
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
        """What the work returns. Its refusal is raised only after `WAIT_SECONDS`, never where that is final, and once
        nobody wants it any more, for which a pause is broken off and no attempt.
        """
        loop = asyncio.get_running_loop()
        ends_at = float("inf") if is_final else loop.time() + WAIT_SECONDS
        try:
            return await work()
        except self._refusal as error:
            refusal = error
        pause = CHECK_SECONDS
        with self._report_waiting(str(refusal)):
            while True:
                report(f"waiting for disk space: {refusal}")
                if not await self._wait_for_space(pause, ends_at, cancelled):
                    raise refusal
                try:
                    return await work()
                except self._refusal as error:
                    if loop.time() >= ends_at:
                        raise
                    refusal = error
                pause = min(2 * pause, self._max_delay)

    async def _wait_for_space(self, pause: float, ends_at: float, cancelled: WaitCancelled) -> bool:
        """Until there may be room again, after a pause in any case, or until the time is over; False when stopped."""
        is_over = False

        async def poll() -> None:
            nonlocal is_over
            loop = asyncio.get_running_loop()
            await asyncio.sleep(min(pause, max(0.0, ends_at - loop.time())))
            while self._lacks_space() and loop.time() < ends_at:  # noqa: ASYNC110 - the kernel tells nobody
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
