"""OCI hooks of CDI specs run on the host at their moment of a container's life, with crun and with runc."""

import asyncio
import json
from dataclasses import replace
from pathlib import Path

import pytest

from tests.fakes.containers import Ends, build_image, container_request, new_cgroup, open_test_runtime

DEVICE = ("vendor.com/gpu", "0")


def write_spec(directory: Path, hook: str, script: str) -> None:
    """A CDI spec with one device, whose edits are one hook: a shell script on the host."""
    kind, name = DEVICE
    entry = {"hookName": hook, "path": "/bin/sh", "args": ["sh", "-c", script]}
    document = {"kind": kind, "devices": [{"name": name, "containerEdits": {"hooks": [entry]}}]}
    directory.mkdir()
    (directory / "vendor.json").write_text(json.dumps(document))


@pytest.mark.parametrize("program", ["crun", "runc"])
@pytest.mark.parametrize("hook", ["createRuntime", "poststart"])
def test_a_hook_gets_the_state_of_the_container(tmp_path: Path, program: str, hook: str) -> None:
    """A hook reads the container's state from its standard input (runtime-spec, "State")."""
    output = tmp_path / "state-of-container"
    write_spec(tmp_path / "cdi", hook, f"cat >> {output}")

    async def run() -> None:
        cdi = [tmp_path / "cdi"]
        async with open_test_runtime(
            tmp_path, Ends(), new_cgroup(), programs=(program,), cdi_directories=cdi
        ) as runtime:
            try:
                request = replace(container_request(build_image(tmp_path), "/bin/sleep", "1000"), cdi_devices=(DEVICE,))
                running = await runtime.start(request)
                state = json.loads(output.read_text())  # of one run of the hook
                assert (state["id"], state["pid"]) == (request.task_id, running.pid)
                assert not list((tmp_path / "run" / program).rglob("exec.fifo"))
            finally:
                await runtime.reset()

    asyncio.run(run())
