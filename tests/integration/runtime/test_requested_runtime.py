"""A container that requests an OCI runtime has that one, whatever the node prefers."""

import asyncio
import json
from pathlib import Path

import pytest

from shoal.errors import Unavailable
from tests.fakes.containers import Ends, build_image, container_request, new_cgroup, open_test_runtime


@pytest.mark.parametrize("name", ["crun", "runc"])
def test_it_is_run_by_the_one_that_it_names(tmp_path: Path, name: str) -> None:
    async def run() -> None:
        async with open_test_runtime(tmp_path, Ends(), new_cgroup(), programs=("crun", "runc")) as runtime:
            try:
                request = container_request(build_image(tmp_path), "/bin/sleep", "1000", runtime=name)
                await runtime.start(request)
                (record,) = tmp_path.rglob(f"{request.task_id}/record.json")
                assert json.loads(record.read_text())["program"] == name
            finally:
                await runtime.reset()

    asyncio.run(run())


def test_one_that_the_node_has_lost_is_not_replaced_by_another(tmp_path: Path) -> None:
    async def run() -> None:
        async with open_test_runtime(tmp_path, Ends(), new_cgroup(), programs=("crun",)) as runtime:
            try:
                request = container_request(build_image(tmp_path), "/bin/sleep", "1000", runtime="runc")
                with pytest.raises(Unavailable, match="install runc"):
                    await runtime.start(request)
            finally:
                await runtime.reset()

    asyncio.run(run())
