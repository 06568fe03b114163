"""Ends, kills, lost supervisors, restarts of the agent, logs, full disks: on the real runtime and the real kernel."""

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from agent.runtime.container_paths import ContainerPaths, read_record
from agent.runtime.kernel.linux import mount, unmount
from agent.runtime.oci_runtime import OciRuntime
from agent.runtime.supervision.container_removal import supervision_processes
from agent.runtime.supervision.exit_watcher import LOST_EXIT_CODE, UNSUPERVISED
from agent.worker.container_runtime import Exit, Running
from agent.worker.interfaces import Image
from shoal.api.v1.meta_pb2 import Resources
from shoal.api.v1.service_pb2 import LogConfig
from shoal.errors import Exhausted, InvalidInput
from tests.fakes.containers import (
    Ends,
    build_image,
    container_request,
    log_lines,
    new_cgroup,
    open_test_runtime,
    real_runtime,
    shell,
)
from tests.integration.runtime.child_processes import children
from tests.integration.runtime.killed_agent import kill_agent_with_containers
from tests.polling import until

Body = Callable[[OciRuntime, Ends, Image], Awaitable[None]]


def with_runtime(directory: Path, body: Body) -> None:
    async def run() -> None:
        async with real_runtime(directory) as (runtime, ends):
            await body(runtime, ends, build_image(directory))

    asyncio.run(run())


def places(directory: Path) -> ContainerPaths:
    return ContainerPaths(run=directory / "run", state=directory / "state")


def left_of_containers(directory: Path) -> list[Path]:
    """Files of single containers below `run`. What is newer than crun 1.8 keeps compiled system-call filters for all of
    them beside their state, in `.cache/seccomp`, and bounds that itself (its src/libcrun/seccomp.c)."""
    kept = [directory / "run/crun/.cache"]
    found = [path for name in ("bundles", "crun", "exits") for path in (directory / "run" / name).iterdir()]
    return [path for path in found if path not in kept]


async def lines_of(runtime: OciRuntime, task_id: str) -> list[str]:
    return [record.data.decode() async for record in log_lines(runtime, task_id)]


@pytest.mark.parametrize(("script", "code"), [("exit 0", 0), ("exit 3", 3), ("kill -9 $$; sleep 0.1; exit 4", 4)])
def test_exit_codes(tmp_path: Path, script: str, code: int) -> None:
    """The first process of a pid namespace cannot kill itself."""

    async def body(runtime: OciRuntime, ends: Ends, image: Image) -> None:
        request = shell(image, script)
        await runtime.start(request)
        assert (await ends.of(request.task_id)).code == code

    with_runtime(tmp_path, body)


def test_an_oom_kill_is_reported_as_such(tmp_path: Path) -> None:
    async def body(runtime: OciRuntime, ends: Ends, image: Image) -> None:
        request = container_request(
            image, "/bin/dd", "if=/dev/zero", "of=/dev/null", "bs=64M", limits=Resources(memory_bytes=16 << 20)
        )
        await runtime.start(request)
        end = await ends.of(request.task_id)
        assert (end.code, end.oom_killed, end.message) == (137, True, "killed by the kernel: memory limit exceeded")

    with_runtime(tmp_path, body)


def test_twenty_starts_at_once_and_nothing_left_after_removal(tmp_path: Path) -> None:
    async def body(runtime: OciRuntime, ends: Ends, image: Image) -> None:
        requests = [shell(image, "echo x > /file; sleep 1000") for _ in range(20)]
        started = await asyncio.gather(*map(runtime.start, requests))
        assert len({running.pid for running in started}) == 20
        await asyncio.gather(*(runtime.remove(request.task_id, keep_logs=False) for request in requests))
        assert all([end.code for end in ends.reported[request.task_id]] == [137] for request in requests)
        assert not any(Path(f"/proc/{running.pid}").exists() for running in started)
        assert supervision_processes(places(tmp_path)) == {}
        assert left_of_containers(tmp_path) == []
        assert not places(tmp_path).tasks_with_upper() and not places(tmp_path).tasks_with_logs()
        await until(lambda: not list((tmp_path / "state/trash").iterdir()))
        assert f"{tmp_path}/run/bundles" not in Path("/proc/self/mountinfo").read_text()

    with_runtime(tmp_path, body)


def test_reset_leaves_nothing(tmp_path: Path) -> None:
    async def run() -> None:
        cgroup, ends = new_cgroup(), Ends()
        async with open_test_runtime(tmp_path, ends, cgroup) as runtime:
            await runtime.start(shell(build_image(tmp_path), "sleep 1000"))
            assert list(Path("/sys/fs/cgroup").glob(f"*{cgroup}"))
            await runtime.reset()
        assert not list(Path("/sys/fs/cgroup").glob(f"*{cgroup}"))
        assert str(tmp_path) not in Path("/proc/self/mountinfo").read_text()
        assert not any((tmp_path / "run").iterdir())
        assert not any((tmp_path / "state").iterdir())

    asyncio.run(run())


@pytest.mark.parametrize("answer", ["exit 0", ":"], ids=["obeys", "ignores"])
def test_a_container_without_its_supervisor_is_stopped_and_says_what_is_lost(tmp_path: Path, answer: str) -> None:
    """Its log and exit code are lost, so it fails, whether it ends by SIGTERM with code 0 or has to be killed."""

    async def body(runtime: OciRuntime, ends: Ends, image: Image) -> None:
        request = shell(image, f"trap '{answer}' TERM; echo ready; while :; do sleep 0.02; done")
        await runtime.start(request)
        record = read_record(places(tmp_path).bundle(request.task_id))
        assert record is not None
        lines = log_lines(runtime, request.task_id, follow=True)
        assert (await anext(lines)).data == b"ready"
        os.kill(record.conmon_pid, signal.SIGKILL)
        end = await ends.of(request.task_id)
        assert (end.code, end.message) == (LOST_EXIT_CODE, UNSUPERVISED)
        assert not Path(f"/proc/{record.pid}").exists()
        await lines.aclose()

    with_runtime(tmp_path, body)


def test_logs_rotate_without_a_gap(tmp_path: Path) -> None:
    async def body(runtime: OciRuntime, ends: Ends, image: Image) -> None:
        script = "i=0; while [ $i -lt 3000 ]; do echo line-$i; i=$((i+1)); [ $((i % 20)) = 0 ] && sleep 0.02; done"
        request = shell(image, script, log=LogConfig(max_bytes=20_000, max_files=50))
        await runtime.start(request)
        seen = [record.data.decode() async for record in log_lines(runtime, request.task_id, follow=True)]
        await ends.of(request.task_id)
        assert seen == [f"line-{number}" for number in range(3000)]
        assert await lines_of(runtime, request.task_id) == seen
        assert len(list(places(tmp_path).logs(request.task_id).iterdir())) > 2

    with_runtime(tmp_path, body)


def test_long_lines_come_in_pieces(tmp_path: Path) -> None:
    async def body(runtime: OciRuntime, ends: Ends, image: Image) -> None:
        request = shell(image, "head -c 20000 /dev/zero | tr '\\0' a; echo; echo b >&2")
        (image.layers[0] / "bin/tr").symlink_to("busybox")
        await runtime.start(request)
        await ends.of(request.task_id)
        records = [record async for record in log_lines(runtime, request.task_id)]
        line = [record for record in records if not record.is_stderr]
        assert max(len(record.data) for record in line) == 8192
        assert [record.partial for record in line] == [True] * (len(line) - 1) + [False]
        assert sum(len(record.data) for record in line) == 20000
        assert [record.data for record in records if record.is_stderr] == [b"b"]

    with_runtime(tmp_path, body)


def test_a_full_disk_fails_the_start_and_nothing_else(tmp_path: Path) -> None:
    state = tmp_path / "state"
    state.mkdir()
    mount("none", str(state), "tmpfs", 0, "size=256k,nr_inodes=40")

    async def body(runtime: OciRuntime, ends: Ends, image: Image) -> None:
        for number in range(100):
            try:
                (state / f"filler-{number}").touch()
            except OSError:
                break
        for _ in range(2):
            with pytest.raises(Exhausted, match="free disk space"):
                await runtime.start(container_request(image, "/bin/true"))
        for filler in state.glob("filler-*"):
            filler.unlink()
        request = container_request(image, "/bin/true")
        await runtime.start(request)
        assert (await ends.of(request.task_id)).code == 0

    try:
        with_runtime(tmp_path, body)
    finally:
        unmount(state)


def test_containers_outlive_a_killed_agent(tmp_path: Path) -> None:
    """One that runs on, one that ends meanwhile; then the next process of the agent finds both, and every line."""
    cgroup = new_cgroup()
    lives, ended, pid = kill_agent_with_containers(tmp_path, cgroup)

    async def run() -> None:
        ends = Ends()
        async with AsyncExitStack() as stack:
            runtime = await stack.enter_async_context(open_test_runtime(tmp_path, ends, cgroup))
            stack.push_async_callback(runtime.reset)
            await until(lambda: ended not in supervision_processes(places(tmp_path)).values())
            found = await runtime.recover()
            running = found[lives]
            assert isinstance(running, Running)
            assert running.pid == pid
            end = found[ended]
            assert isinstance(end, Exit)
            assert (end.code, end.oom_killed) == (5, False)
            assert ends.reported == {}
            async with asyncio.timeout(60):
                while lives not in ends.reported:
                    await runtime.signal(lives, "SIGTERM")
                    await asyncio.sleep(0.02)
            assert [end.code for end in ends.reported[lives]] == [6]
            lines = await lines_of(runtime, lives)
            assert lines == [f"line-{number}" for number in range(len(lines))]
            assert len(lines) > 1

    asyncio.run(run())


def test_recover_removes_what_is_half_made(tmp_path: Path) -> None:
    """A bundle without record, an upper directory without bundle, a cgroup of nobody."""

    async def run() -> None:
        cgroup, ends = new_cgroup(), Ends()
        async with open_test_runtime(tmp_path, ends, cgroup) as runtime:
            image = build_image(tmp_path)
            request = shell(image, "sleep 1000")
            running = await runtime.start(request)
            (places(tmp_path).bundle(request.task_id) / "record.json").unlink()
            (places(tmp_path).upper("orphan") / "u").mkdir(parents=True)
            (tmp_path / "run/bundles/empty").mkdir()
            for mounted in Path("/sys/fs/cgroup").glob(f"pids{cgroup}"):
                (mounted / "nobody").mkdir()
            async with AsyncExitStack() as stack:
                again = await stack.enter_async_context(open_test_runtime(tmp_path, ends, cgroup))
                stack.push_async_callback(again.reset)
                assert await again.recover() == {}
                assert not places(tmp_path).tasks_with_upper()
                assert not list((tmp_path / "run/bundles").iterdir())
                assert not list(Path("/sys/fs/cgroup").glob(f"*{cgroup}/*/"))
                await until(lambda: not Path(f"/proc/{running.pid}").exists())

    asyncio.run(run())


def test_runc_where_crun_is_absent(tmp_path: Path) -> None:
    async def run() -> None:
        ends, image, cgroup = Ends(), build_image(tmp_path), new_cgroup()
        async with open_test_runtime(tmp_path, ends, cgroup, programs=("no-such-runtime", "runc")) as runtime:
            try:
                request = shell(
                    image, "cat /proc/self/status; sleep 0.1; exit 3", limits=Resources(memory_bytes=16 << 20)
                )
                await runtime.start(request)
                assert (await ends.of(request.task_id)).code == 3
                assert "Seccomp:\t2" in await lines_of(runtime, request.task_id)
                with pytest.raises(InvalidInput, match="/bin/missing: no such file in the image"):
                    await runtime.start(container_request(image, "/bin/missing"))
                lives = shell(image, "sleep 1000")
                running = await runtime.start(lives)
                found = await runtime.recover()
                assert found[lives.task_id] == running
            finally:
                await runtime.reset()
        assert not list(Path("/sys/fs/cgroup").glob(f"*{cgroup}"))

    asyncio.run(run())


def test_runc_where_crun_refuses_the_host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A crun that says what crun 1.8 says on hybrid hosts; the next runtime starts the container."""
    refusing = tmp_path / "bin/crun"
    refusing.parent.mkdir()
    refusing.write_text("#!/bin/sh\necho 'cgroups in hybrid mode not supported, drop all controllers' >&2\nexit 1\n")
    refusing.chmod(0o755)
    monkeypatch.setenv("PATH", f"{refusing.parent}:{os.environ['PATH']}")

    async def body(runtime: OciRuntime, ends: Ends, image: Image) -> None:
        request = shell(image, "exit 3")
        await runtime.start(request)
        assert (await ends.of(request.task_id)).code == 3
        lives = shell(image, "sleep 1000")
        await runtime.start(lives)
        record = read_record(places(tmp_path).bundle(lives.task_id))
        assert record is not None
        assert record.program == "runc"

    with_runtime(tmp_path, body)


def test_a_removal_during_a_start_leaves_nothing(tmp_path: Path) -> None:
    async def body(runtime: OciRuntime, ends: Ends, image: Image) -> None:
        request = shell(image, "sleep 1000")
        starting = asyncio.create_task(runtime.start(request))
        await asyncio.sleep(0)
        await runtime.remove(request.task_id, keep_logs=False)
        running = await starting
        assert not Path(f"/proc/{running.pid}").exists()
        assert await runtime.recover() == {}

    with_runtime(tmp_path, body)


def test_a_kill_for_memory_leaves_no_file_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """conmon writes a file `oom` into its working directory."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)

    async def body(runtime: OciRuntime, ends: Ends, image: Image) -> None:
        greedy = container_request(
            image, "/bin/dd", "if=/dev/zero", "of=/dev/null", "bs=64M", limits=Resources(memory_bytes=16 << 20)
        )
        await runtime.start(greedy)
        assert (await ends.of(greedy.task_id)).oom_killed
        assert list(elsewhere.iterdir()) == []

    with_runtime(tmp_path, body)


def test_failed_starts_leave_no_process(tmp_path: Path) -> None:
    async def body(runtime: OciRuntime, ends: Ends, image: Image) -> None:
        before = children()
        for _ in range(3):
            with pytest.raises(InvalidInput):
                await runtime.start(container_request(image, "/bin/missing"))
        assert children() <= before
        assert left_of_containers(tmp_path) == []
        assert not places(tmp_path).tasks_with_upper() and not places(tmp_path).tasks_with_logs()

    with_runtime(tmp_path, body)
