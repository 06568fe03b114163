"""The files of a result as a tar archive, for `--output type=local` and `type=tar`."""

import asyncio
import os
from collections.abc import AsyncGenerator, Iterator
from pathlib import Path

from agent.archives.tar_stream import archive_root
from agent.build.program.results import Layers
from agent.build.program.root_mount import mounted_for_reading
from agent.build.program.workspace import Workspace


async def result_files(result: Layers, workspace: Workspace) -> AsyncGenerator[bytes]:
    """The archive in pieces; one is read while the one before is sent. Raises OSError: the disk fails."""
    with mounted_for_reading(result, workspace) as root:
        pieces = _archive(root)
        while piece := await asyncio.to_thread(next, pieces, b""):
            yield piece


def _archive(root: Path) -> Iterator[bytes]:
    descriptor = os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield from archive_root(descriptor)
    finally:
        os.close(descriptor)
