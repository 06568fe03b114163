"""Starts on a full disk: wherever they meet it, it is reported as that."""

import asyncio
import os
import shutil
from pathlib import Path

from agent.disk_full import DiskFull
from agent.runtime.kernel.linux import mount, unmount
from tests.fakes.containers import build_image, container_request, real_runtime


def leave(state: Path, *, inodes: int | None = None, blocks: int | None = None) -> None:
    """Fill the file system until so much is left."""
    filler = state / "filler"
    filler.mkdir(exist_ok=True)
    disk = os.statvfs(state)
    if inodes is not None:
        for number in range(disk.f_favail - inodes):
            (filler / f"{number}").touch()
    if blocks is not None:
        (filler / "large").write_bytes(bytes((disk.f_bavail - blocks) * disk.f_bsize))


async def emptied(trash: Path) -> None:
    """What was removed is deleted later, and would make room while a container starts."""
    async with asyncio.timeout(60):
        while trash.exists() and any(trash.iterdir()):  # noqa: ASYNC110  # the disk is what is waited for
            await asyncio.sleep(0.005)


async def refusals(directory: Path, state: Path) -> list[str]:
    """What starts say with each number of inodes and of blocks that are left."""
    errors: list[str] = []
    image = build_image(directory)
    async with real_runtime(directory) as (runtime, ends):
        for left in [{"inodes": number} for number in range(24)] + [{"blocks": number} for number in range(24)]:
            await emptied(state / "trash")
            leave(state, **left)
            request = container_request(image, "/bin/true")
            try:
                await runtime.start(request)
            except DiskFull as error:
                errors.append(str(error))
            else:
                await ends.of(request.task_id)
            await runtime.remove(request.task_id, keep_logs=False)
            shutil.rmtree(state / "filler")
    return errors


def test_in_the_directories_in_conmons_log_and_in_cruns_mounts(tmp_path: Path) -> None:
    """Which start meets what depends on what is deleted meanwhile; no start may report anything else than the disk."""
    state = tmp_path / "state"
    state.mkdir()
    mount("none", str(state), "tmpfs", 0, "size=256k,nr_inodes=96")
    try:
        errors = asyncio.run(refusals(tmp_path, state))
    finally:
        unmount(state)
    assert 2 < len(errors) < 48
    assert all("free disk space on the file system of" in each for each in errors)
