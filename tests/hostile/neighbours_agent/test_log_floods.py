"""A container that writes as fast as it can: what its log takes of the disk.

Bound: max-size times max-file, at every moment, with an agent and without one. No line is missing without a word.
"""

import asyncio
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from agent.runtime.container_paths import ContainerPaths
from agent.runtime.oci_runtime import OciRuntime
from shoal.api.v1.service_pb2 import LogConfig
from shoal.logs.log_lines import parse_line
from tests.fakes.containers import Ends, build_image, new_cgroup, open_test_runtime, real_runtime, shell

MIB = 1 << 20
COUNTS = "while :; do echo $i; i=$((i+1)); done"
FLOODS = {"lines": "yes 0123456789012345678901234567890123456789", "no end of line": "cat /dev/zero"}
SECONDS = 60.0


def disk_bytes(directory: Path) -> int:
    """What the files take, each once, however many names it has."""
    found = {}
    for entry in os.scandir(directory):
        try:
            status = entry.stat()
        except FileNotFoundError:
            continue
        found[status.st_ino] = status.st_size
    return sum(found.values())


async def stays_below(bound: int, directory: Path, until: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SECONDS
    while not until():
        assert disk_bytes(directory) <= bound
        assert time.monotonic() < deadline
        await asyncio.sleep(0.002)


def open_files(directory: Path) -> set[str]:
    """Of this process, with the number of each descriptor, deleted ones too."""
    found = set()
    for path in Path("/proc/self/fd").iterdir():
        try:
            found.add(f"{path.name} {path.readlink()}")
        except FileNotFoundError:
            continue
    return {text for text in found if f" {directory}/" in text}


def newest(directory: Path) -> int:
    return max((int(path.suffix or path.name[4:]) for path in directory.glob("log-*")), default=0)


async def end(runtime: OciRuntime, ends: Ends, task_id: str) -> None:
    await runtime.signal(task_id, "SIGKILL")
    await ends.of(task_id)


@pytest.mark.parametrize("script", FLOODS.values(), ids=FLOODS.keys())
@pytest.mark.parametrize(("max_bytes", "max_files"), [(MIB, 2), (4096, 1)])
def test_the_bound_holds_at_full_speed(tmp_path: Path, script: str, max_bytes: int, max_files: int) -> None:
    async def body() -> None:
        async with real_runtime(tmp_path) as (runtime, ends):
            log = LogConfig(max_bytes=max_bytes, max_files=max_files)
            request = shell(build_image(tmp_path), script, log=log)
            await runtime.start(request)
            directory = ContainerPaths(run=tmp_path / "run", state=tmp_path / "state").logs(request.task_id)
            bound = max(max_bytes * max_files, 64 << 10)
            await stays_below(bound, directory, lambda: newest(directory) > 20)
            await end(runtime, ends, request.task_id)
            assert disk_bytes(directory) <= bound

    asyncio.run(body())


def test_the_bound_holds_without_an_agent_and_the_next_one_says_what_is_missing(tmp_path: Path) -> None:
    async def body() -> None:
        cgroup, ends = new_cgroup(), Ends()
        places = ContainerPaths(run=tmp_path / "run", state=tmp_path / "state")
        request = shell(build_image(tmp_path), COUNTS, log=LogConfig(max_bytes=256 << 10, max_files=2))
        directory = places.logs(request.task_id)
        async with open_test_runtime(tmp_path, ends, cgroup) as runtime:
            await runtime.start(request)
        alone = {(directory / "log").stat().st_ino}

        def has_gone_on() -> bool:
            alone.add((directory / "log").stat().st_ino)
            return len(alone) > 2 or (directory / "log").stat().st_ctime > began + 2

        began = time.time()
        await stays_below(512 << 10, directory, has_gone_on)
        async with open_test_runtime(tmp_path, ends, cgroup) as runtime:
            try:
                await runtime.recover()
                await end(runtime, ends, request.task_id)
                await check_lines(runtime, request.task_id)
            finally:
                await runtime.reset()

    asyncio.run(body())


async def check_lines(runtime: OciRuntime, task_id: str) -> None:
    """Each number follows the one before, or some are reported as missing."""
    last: int | None = None
    begun = b""
    async for found in runtime.logs(task_id):
        if found.lost:
            last, begun = None, b""  # maybe in the midst of a line
        for row in found.data.splitlines():
            line = parse_line(row)
            assert line is not None
            if line.partial:  # conmon reads 8 KiB at a time, which may end anywhere
                begun += line.data
                continue
            number, begun = int(begun + line.data or b"0"), b""
            assert last is None or number == last + 1, (last, number)
            last = number
    assert last is not None


async def none_is_kept(directory: Path) -> None:
    """Each file that is open now is closed soon."""
    left = open_files(directory)
    for _ in range(1000):
        if not (left := left & open_files(directory)):
            return
        await asyncio.sleep(0.01)
    raise AssertionError(f"still open: {left}")


def test_a_reader_that_does_not_go_on_keeps_no_file(tmp_path: Path) -> None:
    async def body() -> None:
        async with real_runtime(tmp_path) as (runtime, ends):
            script = FLOODS["lines"]
            request = shell(build_image(tmp_path), script, log=LogConfig(max_bytes=MIB, max_files=2))
            await runtime.start(request)
            directory = ContainerPaths(run=tmp_path / "run", state=tmp_path / "state").logs(request.task_id)
            readers = [runtime.logs(request.task_id, follow=True) for _ in range(20)]
            for reader in readers:
                await anext(reader)
            await stays_below(2 * MIB, directory, lambda: newest(directory) > 20)
            # The agent itself opens the current one for moments.
            await none_is_kept(directory)
            assert (await anext(readers[0])).lost
            for reader in readers:
                await reader.aclose()
            await end(runtime, ends, request.task_id)

    asyncio.run(body())
