"""Waiting for room on a disk, told as a problem of the node while anyone waits."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from agent.worker.draining import either
from agent.worker.seams import Report
from shoal.api.v1.service_pb2 import RestartPolicy
from shoal.errors import Exhausted

WAIT_SECONDS = 60.0
"""Then the restart policy decides, which goes to another node in the end."""
LOOK_SECONDS = 2.0

T = TypeVar("T")
Stopped = Callable[[], Coroutine[Any, Any, None]]
"""Ends when nobody wants the work any more."""


def refusal_is_final(policy: RestartPolicy) -> bool:
    """Whether a task that is rejected may have no successor."""
    return policy.condition == RestartPolicy.NONE or policy.max_attempts > 0


async def _never() -> None:
    await asyncio.Event().wait()


class DiskRoom:
    """Work that waits while a disk has no room, and is tried again once there is some.

    Args:
        refusal: the error by which the work says that there is none.
        lacks_room: whether it is certain that there is none still; then the work is not tried.
        tell: takes what is wrong with the disk and what to do, one line; empty when nothing is.
        longest_pause: seconds between two attempts while the disk seems to have room.
    """

    def __init__(
        self,
        *,
        refusal: type[Exhausted],
        lacks_room: Callable[[], bool],
        tell: Callable[[str], None],
        longest_pause: float,
    ) -> None:
        self._refusal = refusal
        self._lacks_room = lacks_room
        self._tell = tell
        self._longest_pause = longest_pause
        self._waiting = 0

    async def attempt(
        self, work: Callable[[], Awaitable[T]], report: Report, *, is_final: bool, stopped: Stopped = _never
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
        pause = LOOK_SECONDS
        with self._wait(str(refusal)):
            while True:
                report(f"waiting for room: {refusal}")
                if not await self._room(pause, ends_at, stopped):
                    raise refusal
                try:
                    return await work()
                except self._refusal as error:
                    if loop.time() >= ends_at:
                        raise
                    refusal = error
                pause = min(2 * pause, self._longest_pause)

    async def _room(self, pause: float, ends_at: float, stopped: Stopped) -> bool:
        """Until there may be room again, after a pause in any case, or until the time is over; False when stopped."""
        is_over = False

        async def look() -> None:
            nonlocal is_over
            loop = asyncio.get_running_loop()
            await asyncio.sleep(min(pause, max(0.0, ends_at - loop.time())))
            while self._lacks_room() and loop.time() < ends_at:  # noqa: ASYNC110 - the kernel tells nobody
                await asyncio.sleep(LOOK_SECONDS)
            is_over = True

        await either(look(), stopped())
        return is_over

    @contextmanager
    def _wait(self, refusal: str) -> Iterator[None]:
        if not self._waiting:
            self._tell(f"{refusal}; tasks that wait for it start by themselves")
        self._waiting += 1
        try:
            yield
        finally:
            self._waiting -= 1
            if not self._waiting:
                self._tell("")
