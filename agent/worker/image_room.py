"""Images, for which tasks wait while the disk has no room."""

from collections.abc import Callable
from functools import partial

from agent.worker.disk_room import DiskRoom
from agent.worker.seams import Image, Images, Report
from shoal.errors import Exhausted

_LONGEST_PAUSE_SECONDS = 60.0


class ImageRoom:
    """The registry is asked again only once there is room.

    Args:
        tell: takes what is wrong with the disk of the images and what to do, one line; empty when nothing is.
    """

    def __init__(self, images: Images, tell: Callable[[str], None]) -> None:
        self._images = images
        self._room = DiskRoom(
            refusal=Exhausted,
            lacks_room=lambda: images.lacks_room,
            tell=tell,
            longest_pause=_LONGEST_PAUSE_SECONDS,
        )

    async def ensure(self, reference: str, report: Report, *, is_final: bool) -> Image:
        """As `Images.ensure`, but Exhausted is raised only after a minute, and never where that is final."""
        return await self._room.attempt(partial(self._images.ensure, reference, report), report, is_final=is_final)
