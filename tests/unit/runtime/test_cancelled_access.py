"""Callers that leave while a thread opens something for them: it is closed, since nobody else knows of it."""

import asyncio
import json
import os
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from agent.runtime.container_paths import ContainerPaths, ContainerRecord
from agent.runtime.container_table import ContainerTable
from agent.runtime.kernel.processes import process_start_time
from agent.runtime.live.network_access import NetworkAccess
from agent.runtime.live.root_access import OpenRoot, RootAccess, _Mounted


def paths_in(directory: Path) -> ContainerPaths:
    paths = ContainerPaths(run=directory / "run", state=directory / "state")
    paths.create()
    return paths


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110  # a thread tells
            await asyncio.sleep(0.001)


def open_network_namespaces() -> int:
    """Descriptors of them that this process has."""
    found = 0
    for each in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):
            found += str(each.readlink()).startswith("net:")
    return found


def test_of_a_network_that_was_to_be_joined_no_descriptor_stays(tmp_path: Path) -> None:
    paths, pid = paths_in(tmp_path), os.getpid()
    record = ContainerRecord("t", "crun", pid, process_start_time(pid) or 0, pid, 0, 0, 0, 0)
    paths.bundle("t").mkdir()
    spec = paths.bundle("t") / "config.json"
    os.mkfifo(spec)
    before = open_network_namespaces()

    async def run() -> None:
        joining = asyncio.create_task(NetworkAccess(paths, lambda _: record).join("t"))
        await until(lambda: open_network_namespaces() > before)
        joining.cancel()
        await asyncio.sleep(0)
        await asyncio.to_thread(spec.write_text, json.dumps({"hostname": "t", "linux": {}}))
        await asyncio.gather(joining, return_exceptions=True)
        assert joining.cancelled()

    asyncio.run(run())
    assert open_network_namespaces() == before


def test_of_layers_that_were_to_be_mounted_no_descriptor_stays(tmp_path: Path) -> None:
    begun, go, opened = threading.Event(), threading.Event(), list[int]()

    class Slow(RootAccess):
        """Mounts nothing, once `go` is set."""

        def _mount_layers(self, layers: tuple[Path, ...]) -> _Mounted:
            begun.set()
            assert layers and go.wait(20)
            opened.extend(os.open(tmp_path, os.O_PATH | os.O_CLOEXEC) for _ in range(2))
            return _Mounted(opened[0], opened[1])

    async def run() -> None:
        table = ContainerTable(lambda *_: None)
        access = Slow(paths=paths_in(tmp_path), containers=table, running=lambda _: None, kept=dict)

        async def use() -> None:
            async with access.below(OpenRoot(-1, tmp_path, (tmp_path,))):
                raise AssertionError("it was cancelled before")

        using = asyncio.create_task(use())
        await until(begun.is_set)
        using.cancel()
        await asyncio.sleep(0)
        go.set()
        await asyncio.gather(using, return_exceptions=True)
        assert using.cancelled()
        access.close()

    asyncio.run(run())
    assert len(opened) == 2 and not any(Path(f"/proc/self/fd/{each}").exists() for each in opened)
