"""Root file systems of containers outlive runs, the agent, and its death at any step."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, aclosing
from dataclasses import replace
from pathlib import Path

import pytest

from agent.runtime.container_paths import ContainerPaths, read_record
from agent.runtime.kernel.linux import unmount
from agent.runtime.oci_runtime import OciRuntime
from agent.worker.container_runtime import ContainerRequest, Running
from agent.worker.interfaces import Image
from shoal.errors import NotFound, Refused, Unavailable
from shoal.ids import new_id
from tests.fakes.containers import Ends, build_image, log_lines, new_cgroup, open_test_runtime, real_runtime, shell

AGENT = Path(__file__).parent / "kept_process.py"
ROOT_STEPS = ("root draft", "root filled", "root in place", "root durable")
START_STEPS = (
    "directories", "mount namespace", "overlay", "spec", "spawn", "create", "record", "start", "end",
)  # fmt: skip
PAUSE_STEPS = ("_write_freezer", "freeze", "thaw", "end")
COMMIT_STEPS = ("_write_freezer", "freeze", "paused", "reading", "read", "thaw", "end")
STOP_STEPS = ("signal", "exit", "_kill_supervision", "_empty_cgroup", "_delete", "end")
RUN_PHASES = ("start", "pause", "commit", "stop")
FAULTS = [
    *(f"make:{step}" for step in ROOT_STEPS),
    *(f"start:{step}" for step in START_STEPS),
    *(f"pause:{step}" for step in PAUSE_STEPS),
    *(f"commit:{step}" for step in COMMIT_STEPS),
    *(f"stop:{step}" for step in STOP_STEPS),
    "remove:root removed",
    "remove:end",
]
Body = Callable[[OciRuntime, Ends, Image], Awaitable[None]]


def run_of(image: Image, container: str, script: str, *, volatile: bool = False) -> ContainerRequest:
    return replace(shell(image, script), container_id=container, volatile=volatile)


async def run_to_end(runtime: OciRuntime, ends: Ends, request: ContainerRequest) -> int:
    await runtime.start(request)
    end = await ends.of(request.task_id)
    await runtime.remove(request.task_id, keep_logs=False)
    return end.code


async def lines_of(runtime: OciRuntime, own_id: str) -> list[str]:
    return [line.data.decode() async for line in log_lines(runtime, own_id)]


def with_runtime(directory: Path, body: Body) -> None:
    async def run() -> None:
        image = build_image(directory)
        async with real_runtime(directory) as (runtime, ends), asyncio.timeout(60):
            await runtime.recover()
            await body(runtime, ends, image)

    asyncio.run(run())


def test_one_root_and_one_log_over_all_runs(tmp_path: Path) -> None:
    async def body(runtime: OciRuntime, ends: Ends, image: Image) -> None:
        container = new_id()
        await runtime.make_root(container, image, volatile=False)
        assert runtime.kept_roots() == {container: image.digest}
        with pytest.raises(NotFound):
            await lines_of(runtime, container)
        for run in range(4):
            script = f"cat /kept 2>/dev/null; echo {run} > /kept; echo run {run}"
            assert await run_to_end(runtime, ends, run_of(image, container, script)) == 0
        expected = ["run 0", "0", "run 1", "1", "run 2", "2", "run 3"]
        assert await lines_of(runtime, container) == expected
        await runtime.remove_root(container)
        assert runtime.kept_roots() == {}
        with pytest.raises(NotFound):
            await lines_of(runtime, container)
        with pytest.raises(Unavailable, match="no root file system"):
            await runtime.start(run_of(image, container, "true"))

    with_runtime(tmp_path, body)


def test_a_root_is_made_once_and_on_one_image(tmp_path: Path) -> None:
    async def body(runtime: OciRuntime, ends: Ends, image: Image) -> None:
        container = new_id()
        await asyncio.gather(*(runtime.make_root(container, image, volatile=False) for _ in range(5)))
        assert await run_to_end(runtime, ends, run_of(image, container, "echo mine > /file")) == 0
        await runtime.make_root(container, image, volatile=False)
        assert await run_to_end(runtime, ends, run_of(image, container, "test -e /file")) == 0
        with pytest.raises(Refused, match="is on image"):
            await runtime.make_root(container, replace(image, digest="sha256:1"), volatile=False)

    with_runtime(tmp_path, body)


def test_a_volatile_root_is_mounted_again_and_again(tmp_path: Path) -> None:
    async def body(runtime: OciRuntime, ends: Ends, image: Image) -> None:
        container = new_id()
        await runtime.make_root(container, image, volatile=True)
        for run in range(3):
            script = f"test $(cat /count || echo 0) = {run} && echo {run + 1} > /count"
            assert await run_to_end(runtime, ends, run_of(image, container, script, volatile=True)) == 0

    with_runtime(tmp_path, body)


def test_anonymous_volumes_are_kept_with_it(tmp_path: Path) -> None:
    async def body(runtime: OciRuntime, ends: Ends, image: Image) -> None:
        image = replace(image, config=replace(image.config, volumes=("/data", "/other")))
        (image.layers[0] / "data/of-image").write_text("1")
        container = new_id()
        await runtime.make_root(container, image, volatile=False)
        assert await run_to_end(runtime, ends, run_of(image, container, "rm /data/of-image; echo 2 > /data/own")) == 0
        # What was deleted does not come back, since the volume is not empty.
        check = "test ! -e /data/of-image && test -e /data/own && grep ' /other ' /proc/self/mountinfo"
        assert await run_to_end(runtime, ends, run_of(image, container, check)) == 0

    with_runtime(tmp_path, body)


def test_the_next_run_waits_until_the_one_before_is_removed(tmp_path: Path) -> None:
    async def body(runtime: OciRuntime, ends: Ends, image: Image) -> None:
        container = new_id()
        await runtime.make_root(container, image, volatile=False)
        first = run_of(image, container, "sleep 1000")
        await runtime.start(first)
        with pytest.raises(Unavailable, match="still in use by its run"):
            await runtime.remove_root(container)
        second = run_of(image, container, "true")
        starting = asyncio.create_task(runtime.start(second))
        await asyncio.sleep(0.3)
        assert not starting.done()
        await runtime.remove(first.task_id, keep_logs=False)
        await starting
        assert (await ends.of(second.task_id)).code == 0
        await runtime.remove(second.task_id, keep_logs=False)
        failing = replace(run_of(image, container, ""), spec=shell(image, "").spec)
        failing.spec.command[0] = "/no/such/program"
        for _ in range(2):
            with pytest.raises(Exception, match="no such file"):
                await runtime.start(failing)
        assert await run_to_end(runtime, ends, run_of(image, container, "true")) == 0

    with_runtime(tmp_path, body)


def test_an_unreadable_record_costs_no_data(tmp_path: Path) -> None:
    container, cgroup = new_id(), new_cgroup()
    places = ContainerPaths(run=tmp_path / "run", state=tmp_path / "state")

    async def run() -> None:
        image, ends = build_image(tmp_path), Ends()
        async with open_test_runtime(tmp_path, ends, cgroup) as runtime:
            await runtime.make_root(container, image, volatile=False)
            assert await run_to_end(runtime, ends, run_of(image, container, "echo mine > /file")) == 0
        (places.kept_root(container) / "root.json").write_text("{")
        (places.drafts / new_id() / "u").mkdir(parents=True)
        async with AsyncExitStack() as stack:
            runtime = await stack.enter_async_context(open_test_runtime(tmp_path, ends, cgroup))
            stack.push_async_callback(runtime.reset)
            assert await runtime.recover() == {}
            assert runtime.kept_roots() == {container: ""}
            assert not any(places.drafts.iterdir())
            assert await run_to_end(runtime, ends, run_of(image, container, "test -e /file")) == 0
        assert not places.kept.exists()

    asyncio.run(run())


@pytest.mark.parametrize("fault", FAULTS)
def test_an_agent_that_is_killed_loses_nothing(tmp_path: Path, fault: str, program: str) -> None:
    """Killed at this step: the container is there whole, or the host is clean."""
    cgroup, container = new_cgroup(), new_id()
    image = build_image(tmp_path)
    command = [sys.executable, str(AGENT), str(tmp_path), cgroup, container, program, fault]
    agent = subprocess.run(command, capture_output=True, text=True, cwd=Path.cwd(), timeout=60, check=False)
    phase, _, step = fault.partition(":")
    places = ContainerPaths(run=tmp_path / "run", state=tmp_path / "state")

    async def run() -> None:
        ends = Ends()
        async with AsyncExitStack() as stack:
            runtime = await stack.enter_async_context(open_test_runtime(tmp_path, ends, cgroup))
            stack.push_async_callback(runtime.reset)
            assert (agent.returncode, agent.stdout) == (-9, ""), agent.stderr
            found = await runtime.recover()
            for task_id, each in found.items():
                if isinstance(each, Running):
                    assert await runtime.is_paused(task_id) == (fault in ("pause:_write_freezer", "pause:freeze"))
                    await runtime.signal(task_id, "SIGKILL")
                    await ends.of(task_id)
                await runtime.remove(task_id, keep_logs=True)
            assert not any(places.drafts.iterdir())
            assert not places.tasks_with_upper()
            assert not any(places.bundles.iterdir())
            is_there = phase in RUN_PHASES or step in ("root in place", "root durable")
            assert runtime.kept_roots() == ({container: "sha256:0"} if is_there else {})
            if phase in RUN_PHASES:
                check = "grep one /kept && test $(grep -c two /kept) -le 1"
                assert (await lines_of(runtime, container))[0] == "first"
                assert await run_to_end(runtime, ends, run_of(image, container, check)) == 0
            await runtime.make_root(container, replace(image, digest="sha256:0"), volatile=False)
            assert await run_to_end(runtime, ends, run_of(image, container, "echo more >> /kept")) == 0
            await runtime.remove_root(container)
            assert not places.containers_with_root()

    asyncio.run(run())


def test_a_reboot_ends_the_run_and_keeps_the_rest(tmp_path: Path) -> None:
    """The tmpfs with bundles is empty then, and no process is left."""
    cgroup, container = new_cgroup(), new_id()
    places = ContainerPaths(run=tmp_path / "run", state=tmp_path / "state")

    async def run() -> None:
        image, ends = build_image(tmp_path), Ends()
        async with open_test_runtime(tmp_path, ends, cgroup) as runtime:
            await runtime.make_root(container, image, volatile=False)
            request = run_of(image, container, "echo mine > /file; echo line; sleep 1000")
            await runtime.start(request)
            async with aclosing(log_lines(runtime, container, follow=True)) as lines:
                assert (await anext(lines)).data == b"line"
            record = read_record(places.bundle(request.task_id))
            assert record is not None
            for pid in (record.conmon_pid, record.pid):
                os.kill(pid, signal.SIGKILL)
            await ends.of(request.task_id)
        unmount(places.run)
        async with AsyncExitStack() as stack:
            runtime = await stack.enter_async_context(open_test_runtime(tmp_path, ends, cgroup))
            stack.push_async_callback(runtime.reset)
            assert await runtime.recover() == {}
            assert runtime.kept_roots() == {container: image.digest}
            assert await run_to_end(runtime, ends, run_of(image, container, "cat /file")) == 0
            assert await lines_of(runtime, container) == ["line", "mine"]

    asyncio.run(run())
