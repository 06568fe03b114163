"""What a health check needs in a container's bundle, on a disk that is full for a while."""

import asyncio
import json
import resource
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import pytest

from agent.runtime.container_paths import ContainerPaths, ContainerRecord
from agent.runtime.exec.probe_exec import ProbeExecutor
from shoal.errors import NotFound, Unavailable

RECORD = ContainerRecord("t", "crun", 1, 1, 1, 1, 0, 0, 0)


class Programs:
    """Starts none; shows what it was to start."""

    def __init__(self) -> None:
        self.started: list[Any] = []

    async def spawn_exec(self, record: ContainerRecord, options: list[str], descriptors: object) -> None:
        del record, descriptors
        self.started.append(json.loads(Path(options[-1]).read_text()))
        raise NotFound("it has exited")


@contextmanager
def no_room() -> Generator[None]:
    """No file of this process can grow."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_a_disk_that_was_full_leaves_no_half_of_a_health_check(tmp_path: Path) -> None:
    paths, programs = ContainerPaths(run=tmp_path / "run", state=tmp_path / "state"), Programs()
    paths.bundle("t").mkdir(parents=True)
    paths.bundle("t").joinpath("config.json").write_text(json.dumps({"process": {"cwd": "/", "terminal": True}}))
    executor = ProbeExecutor(paths=paths, exec_thread=cast(Any, programs))
    with no_room(), pytest.raises(Unavailable, match="cannot run the health check"):
        asyncio.run(executor.execute(RECORD, ("ask",)))
    with pytest.raises(NotFound):
        asyncio.run(executor.execute(RECORD, ("ask",)))
    assert programs.started == [{"cwd": "/", "terminal": False, "args": ["ask"]}]
