"""Archives that the engine keeps on disk while it reads them."""

import asyncio
import resource
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any, cast

import pytest

from engine.handlers.images.image_transfer_handlers import ImageTransferHandlers
from shoal.errors import Exhausted, Unavailable


class Body:
    """Of one request."""

    def __init__(self, *pieces: bytes) -> None:
        self._pieces = list(pieces)
        self.request = self.content = self

    async def readany(self) -> bytes:
        return self._pieces.pop(0) if self._pieces else b""

    def text(self, name: str) -> str:
        del name
        return ""

    def boolean(self, name: str) -> bool:
        del name
        return False


@contextmanager
def no_room() -> Generator[None]:
    """No file of this process can grow."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_a_disk_that_cannot_take_one_says_so() -> None:
    handlers = ImageTransferHandlers(*cast(Any, [None] * 4))
    with no_room(), pytest.raises((Exhausted, Unavailable), match="cannot store the archive at the engine in /"):
        asyncio.run(handlers.load(cast(Any, Body(b"x"))))
