"""Waiting for room on the disk of the images, told as a problem of the node while anyone waits."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from agent.worker.seams import Image, Images, Report
from shoal.api.v1.service_pb2 import RestartPolicy
from shoal.errors import Exhausted

WAIT_SECONDS = 60.0
"""Then the restart policy decides, which goes to another node in the end."""
LOOK_SECONDS = 2.0
_LONGEST_PAUSE_SECONDS = 60.0


def refusal_is_final(policy: RestartPolicy) -> bool:
    """Whether a task that is rejected may have no successor."""
    return policy.condition == RestartPolicy.NONE or policy.max_attempts > 0


class ImageRoom:
    """Images, for which tasks wait while the disk has no room. The registry is asked again only once there is some.

    Args:
        tell: takes what is wrong with the disk of the images and what to do, one line; empty when nothing is.
    """

    def __init__(self, images: Images, tell: Callable[[str], None]) -> None:
        self._images = images
        self._tell = tell
        self._waiting = 0

    async def ensure(self, reference: str, report: Report, *, is_final: bool) -> Image:
        """As `Images.ensure`, but Exhausted is raised only after `WAIT_SECONDS`, and never where that is final."""
        loop = asyncio.get_running_loop()
        ends_at = float("inf") if is_final else loop.time() + WAIT_SECONDS
        try:
            return await self._images.ensure(reference, report)
        except Exhausted as error:
            refusal = str(error)
        pause = LOOK_SECONDS
        with self._wait(refusal):
            while True:
                report(f"waiting for room: {refusal}")
                await self._room(pause, ends_at)
                try:
                    return await self._images.ensure(reference, report)
                except Exhausted as error:
                    if loop.time() >= ends_at:
                        raise
                    refusal = str(error)
                pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)

    async def _room(self, pause: float, ends_at: float) -> None:
        """Until there may be room again, after a pause in any case, or until the time is over."""
        loop = asyncio.get_running_loop()
        await asyncio.sleep(min(pause, max(0.0, ends_at - loop.time())))
        while self._images.lacks_room and loop.time() < ends_at:  # noqa: ASYNC110 - the kernel tells nobody
            await asyncio.sleep(LOOK_SECONDS)

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
