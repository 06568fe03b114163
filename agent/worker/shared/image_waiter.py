"""Pulls images, and waits for disk space if necessary."""

from collections.abc import Callable
from functools import partial

from agent.worker.interfaces import Image, Images, Report
from agent.worker.shared.disk_space_waiter import DiskSpaceWaiter
from shoal.errors import Exhausted

_MAX_DELAY_SECONDS = 60.0


class ImageWaiter:
    """The registry is asked again only once there is disk space.

    Args:
        set_problem: takes the problem of the image store's disk and what to do, one line; empty if there is none.
    """

    def __init__(self, images: Images, set_problem: Callable[[str], None]) -> None:
        self._images = images
        self._waiter = DiskSpaceWaiter(
            refusal=Exhausted,
            lacks_space=lambda: images.lacks_space,
            set_problem=set_problem,
            max_delay=_MAX_DELAY_SECONDS,
        )

    async def ensure(self, reference: str, report: Report, *, is_final: bool) -> Image:
        """As `Images.ensure`, but Exhausted is raised only after a minute, and never if `is_final`."""
        return await self._waiter.run(partial(self._images.ensure, reference, report), report, is_final=is_final)
