"""An agent's images in memory."""

import asyncio
from pathlib import Path

from agent.worker.interfaces import Image, ImageConfig, Report


class PulledImages:
    """Every reference names an image, unless `errors` has something to say of it; `held` lets pulls wait.

    An image's digest is that of the reference, or what `digests` says, or made of the reference.
    """

    def __init__(self) -> None:
        self.errors: dict[str, Exception] = {}
        self.digests: dict[str, str] = {}
        self.held = asyncio.Event()
        self.held.set()
        self.config = ImageConfig(command=("/serve",))
        self.collected: list[frozenset[str]] = []
        self.lacks_space = False
        self.asked = 0

    async def ensure(self, reference: str, report: Report) -> Image:
        """As `Images.ensure`."""
        report(f"pulling {reference}")
        self.asked += 1
        await self.held.wait()
        if reference in self.errors:
            raise self.errors[reference]
        digest = reference.partition("@")[2] or self.digests.get(reference, f"sha256:{reference}")
        return Image(reference, digest, self.config, (Path("/layer"),))

    async def collect_garbage(self, used: frozenset[str]) -> None:
        """As `Images.collect_garbage`."""
        self.collected.append(used)
