"""What is done to a container while it runs: pausing, limits, its processes."""

import asyncio
import os
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

from agent.runtime.kernel.cgroup_layout import parse_layout
from agent.runtime.oci_runtime import OciRuntime
from agent.safe_paths.mountinfo import read_mountinfo
from agent.worker.container_runtime import ContainerRequest
from shoal.api.v1.container_pb2 import ContainerSpec, CpuTuning
from shoal.api.v1.meta_pb2 import Resources
from shoal.api.v1.streams_pb2 import ExecStart
from shoal.errors import InvalidInput, NotFound, Refused
from tests.fakes.containers import Ends, build_image, log_lines, new_cgroup, open_test_runtime, shell

Body = Callable[[OciRuntime, Ends, ContainerRequest], Awaitable[None]]
COUNT = "trap 'exit 9' TERM; echo ready; i=0; while :; do i=$((i+1)); echo $i > /count; done"
pytestmark = pytest.mark.usefixtures("program")


def in_container(directory: Path, script: str, body: Callable[..., Awaitable[None]], **spec: Any) -> None:
    async def run() -> None:
        ends, cgroup = Ends(), new_cgroup()
        async with open_test_runtime(directory, ends, cgroup) as runtime:
            try:
                request = shell(build_image(directory), script, **spec)
                await runtime.start(request)
                async with asyncio.timeout(60):
                    await body(runtime, ends, request, cgroup)
            finally:
                await runtime.reset()

    asyncio.run(run())


async def cpu_ns(runtime: OciRuntime, task_id: str) -> int:
    return (await runtime.stats([task_id]))[task_id].cpu_ns


async def await_trap(runtime: OciRuntime, task_id: str) -> None:
    """Until `COUNT` ends at SIGTERM: before, the first process of a pid namespace does not get it."""
    async with aclosing(log_lines(runtime, task_id, follow=True)) as lines:
        assert (await anext(lines)).data == b"ready"


def test_a_paused_container_does_nothing_until_it_goes_on(tmp_path: Path) -> None:
    async def body(runtime: OciRuntime, ends: Ends, request: ContainerRequest, cgroup: str) -> None:
        del cgroup
        task = request.task_id
        await await_trap(runtime, task)
        assert not await runtime.is_paused(task)
        with pytest.raises(Refused, match="not paused"):
            await runtime.set_paused(task, False)
        await runtime.set_paused(task, True)
        assert await runtime.is_paused(task)
        with pytest.raises(Refused, match="already paused"):
            await runtime.set_paused(task, True)
        before = await cpu_ns(runtime, task)
        await asyncio.sleep(0.3)
        assert await cpu_ns(runtime, task) == before
        with pytest.raises(Refused, match="is paused"):
            await runtime.start_exec(ExecStart(task=task, args=["true"]))
        await runtime.set_paused(task, False)
        while await cpu_ns(runtime, task) <= before:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
        await runtime.set_paused(task, True)
        await runtime.signal(task, "SIGTERM")
        assert (await ends.of(task)).code == 9, "a signal lets it continue"
        with pytest.raises(NotFound):
            await runtime.set_paused(task, True)

    in_container(tmp_path, COUNT, body)


@pytest.mark.parametrize("by_signal", [True, False])
def test_a_paused_container_can_be_killed_and_removed(tmp_path: Path, by_signal: bool) -> None:
    async def body(runtime: OciRuntime, ends: Ends, request: ContainerRequest, cgroup: str) -> None:
        del cgroup
        await runtime.set_paused(request.task_id, True)
        async with asyncio.timeout(60):
            if by_signal:
                await runtime.signal(request.task_id, "SIGKILL")
            else:
                await runtime.remove(request.task_id, keep_logs=False)
        assert (await ends.of(request.task_id)).code == 137

    in_container(tmp_path, COUNT, body)


def test_a_paused_container_is_removed_by_the_next_agent(tmp_path: Path) -> None:
    async def body(runtime: OciRuntime, ends: Ends, request: ContainerRequest, cgroup: str) -> None:
        del ends
        await runtime.set_paused(request.task_id, True)
        async with open_test_runtime(tmp_path, Ends(), cgroup) as again:
            assert request.task_id in await again.recover()
            assert await again.is_paused(request.task_id)
            async with asyncio.timeout(60):
                await again.remove(request.task_id, keep_logs=False)

    in_container(tmp_path, COUNT, body)


def test_limits_change_while_it_runs(tmp_path: Path) -> None:
    layout = parse_layout(read_mountinfo())

    def read(cgroup: str, task: str, controller: str, one: str, two: str) -> str:
        directory = layout.directory(controller, f"{cgroup}/{task}")
        assert directory is not None
        return (directory / (one if layout.version == 1 else two)).read_text().strip()

    async def body(runtime: OciRuntime, ends: Ends, request: ContainerRequest, cgroup: str) -> None:
        del ends
        task, spec = request.task_id, ContainerSpec(cpu=CpuTuning(shares=512))
        for limit, pids in ((64 << 20, 50), (512 << 20, 70), (32 << 20, 0)):
            await runtime.set_limits(task, spec, Resources(memory_bytes=limit, nano_cpus=500_000_000, pids=pids))
            assert read(cgroup, task, "memory", "memory.limit_in_bytes", "memory.max") == str(limit)
            assert read(cgroup, task, "pids", "pids.max", "pids.max") == str(pids or 4096)
            quota = read(cgroup, task, "cpu", "cpu.cfs_quota_us", "cpu.max")
            assert quota.split()[0] == "50000"
        await runtime.set_limits(task, ContainerSpec(), Resources())
        limit_now = read(cgroup, task, "memory", "memory.limit_in_bytes", "memory.max")
        assert limit_now == "max" or int(limit_now) > 1 << 50
        assert read(cgroup, task, "cpu", "cpu.cfs_quota_us", "cpu.max").split()[0] in ("-1", "max")
        await runtime.set_limits(task, ContainerSpec(), Resources(memory_bytes=16 << 20))
        assert read(cgroup, task, "memory", "memory.limit_in_bytes", "memory.max") == str(16 << 20)
        with pytest.raises(NotFound):
            await runtime.set_limits("nobody", ContainerSpec(), Resources())

    in_container(tmp_path, "sleep 1000", body)


def test_what_the_kernel_counts(tmp_path: Path) -> None:
    async def body(runtime: OciRuntime, ends: Ends, request: ContainerRequest, cgroup: str) -> None:
        del cgroup
        task = request.task_id
        await runtime.set_limits(task, ContainerSpec(), Resources(memory_bytes=64 << 20, pids=50))
        counters = await runtime.counters([task, "nobody"])
        assert counters.keys() == {task}
        # Version 1 counts these two by the clock's ticks, of which a container on a busy host sees few.
        while not (found := (await runtime.counters([task]))[task]).user_ns + found.system_ns:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
        assert found.cgroup_version == parse_layout(read_mountinfo()).version
        assert 0 < found.cpu_ns < found.host_cpu_ns and found.host_cpus == os.cpu_count()
        assert found.user_ns + found.system_ns > 0 and found.memory_bytes > 0
        assert (found.memory_limit_bytes, found.pids_limit) == (64 << 20, 50) and found.pids >= 1
        assert not found.links, "it has no network but loopback"
        await runtime.signal(task, "SIGKILL")
        await ends.of(task)
        assert await runtime.counters([task]) == {}

    in_container(tmp_path, COUNT, body)


def test_its_processes(tmp_path: Path) -> None:
    async def body(runtime: OciRuntime, ends: Ends, request: ContainerRequest, cgroup: str) -> None:
        del ends, cgroup
        expected = ["/bin/sh -c sleep 777 & sleep 888; :", "sleep 777", "sleep 888"]
        table = await runtime.processes(request.task_id, ())
        while sorted(row[-1] for row in table.rows) != expected:
            await asyncio.sleep(0.02)
            table = await runtime.processes(request.task_id, ())
        assert table.titles == ("UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD")
        for args in (("-o", "pid,comm"), ("-eo", "pid,comm"), ("axo", "pid,comm")):
            table = await runtime.processes(request.task_id, args)
            assert table.titles == ("PID", "COMMAND") and len(table.rows) == 3
        with pytest.raises(InvalidInput, match="no column PID"):
            await runtime.processes(request.task_id, ("-o", "comm"))
        with pytest.raises(InvalidInput, match="ps: "):
            await runtime.processes(request.task_id, ("--no-such-flag",))
        with pytest.raises(NotFound):
            await runtime.processes("nobody", ())

    in_container(tmp_path, "sleep 777 & sleep 888; :", body)
