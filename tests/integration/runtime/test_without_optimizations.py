"""With all optimizations off, the runtime does all that it does with them, and uses none of their means."""

import asyncio
import threading
from contextlib import AsyncExitStack
from pathlib import Path

from agent.runtime.kernel.processes import status
from agent.runtime.launch.optimizations import NO_OPTIMIZATIONS
from agent.worker.container_runtime import Running
from tests.fakes.containers import Ends, build_image, log_lines, new_cgroup, open_test_runtime, real_runtime, shell
from tests.integration.runtime.killed_agent import kill_agent_with_containers


def means_of_optimizations(directory: Path) -> list[str]:
    """What the optimizations leave on the host: links to programs in memory, compiled filters, a thread."""
    found = [*directory.glob("run/programs/*"), *directory.glob("state/seccomp/*")]
    threads = [thread.name for thread in threading.enumerate() if thread.name == "attach lock"]
    return [*map(str, found), *threads]


def test_a_container_lives_from_start_to_removal(tmp_path: Path) -> None:
    async def run() -> None:
        async with real_runtime(tmp_path, optimizations=NO_OPTIMIZATIONS) as (runtime, ends):
            request = shell(build_image(tmp_path), "trap 'exit 3' TERM; echo started; while :; do sleep 0.05; done")
            running = await runtime.start(request)
            assert status(running.pid)["Seccomp"] == "2"
            assert not list((tmp_path / "run").rglob("exec.fifo"))
            checked = await runtime.execute(request.task_id, ("/bin/sh", "-c", "echo healthy; exit 4"))
            assert (checked.code, checked.output) == (4, b"healthy\n")
            await runtime.signal(request.task_id, "SIGTERM")
            assert (await ends.of(request.task_id)).code == 3
            assert [line.data async for line in log_lines(runtime, request.task_id)] == [b"started"]
            assert means_of_optimizations(tmp_path) == []
            await runtime.remove(request.task_id, keep_logs=False)
            assert not list((tmp_path / "run/bundles").iterdir())

    asyncio.run(run())


def test_containers_of_a_killed_agent_are_recovered(tmp_path: Path) -> None:
    cgroup = new_cgroup()
    lives, ended, pid = kill_agent_with_containers(tmp_path, cgroup, optimizations="off")

    async def run() -> None:
        ends = Ends()
        async with AsyncExitStack() as stack:
            runtime = await stack.enter_async_context(
                open_test_runtime(tmp_path, ends, cgroup, optimizations=NO_OPTIMIZATIONS)
            )
            stack.push_async_callback(runtime.reset)
            found = await runtime.recover()
            running = found[lives]
            assert isinstance(running, Running)
            assert running.pid == pid
            assert ended in found
            await runtime.signal(lives, "SIGKILL")
            assert (await ends.of(lives)).code == 137
            assert means_of_optimizations(tmp_path) == []

    asyncio.run(run())
