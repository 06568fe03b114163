"""A volume that was reported complete is whole after the target's host has crashed: the source deletes its copy then.

A crash is shown by a copy of the disk as it is at that moment: what the kernel had only in its memory is not on it.
"""

import asyncio
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from agent.volumes.local_volumes import LocalVolumes
from shoal.notifier import Notifier
from tests.integration.volume_moves.nodes import COPY_MS, Pair, in_loop
from tests.integration.volume_moves.test_two_agents import SECONDS, digest


@contextmanager
def mounted(image: Path, directory: Path, options: str = "loop") -> Iterator[Path]:
    """The file system in a file, at a directory that is made."""
    directory.mkdir()
    subprocess.run(["mount", "-o", options, str(image), str(directory)], check=True)
    try:
        yield directory
    finally:
        subprocess.run(["umount", str(directory)], check=True)


def new_disk(image: Path) -> None:
    with image.open("wb") as file:
        file.truncate(256 << 20)
    subprocess.run(["mkfs.ext4", "-q", "-F", str(image)], check=True)


def crash(image: Path, left: Path) -> None:
    subprocess.run(["cp", "--sparse=always", str(image), str(left)], check=True)


@in_loop
async def test_a_copy_that_is_complete_survives_a_crash_of_its_host(tmp_path: Path) -> None:
    image, crashed = tmp_path / "disk", tmp_path / "disk after the crash"
    new_disk(image)
    # The journal is written by itself after five minutes only, so that what is there was asked for.
    with mounted(image, tmp_path / "h2", "loop,commit=300"):
        pair = Pair(tmp_path)
        data = pair.h1.data()
        (data / "base").mkdir()
        (data / "base/row").write_bytes(b"precious" * 10_000)
        async with asyncio.timeout(SECONDS), pair.serving():
            assert await pair.fetch(await pair.request())
            crash(image, crashed)
    with mounted(crashed, tmp_path / "after"):
        found = LocalVolumes(tmp_path / "after", lambda: 0, Notifier()).find("v1", 0)
        assert found is not None, "the agent would make an empty volume in its place"
        assert found[1].created_at_ms == COPY_MS
        assert digest(found[0] / "_data") == digest(data)
