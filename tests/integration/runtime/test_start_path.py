"""What makes starts quick, on the real kernel: nothing is written for mount points, crun runs from memory once."""

import asyncio
import os
import subprocess
import threading
import time
from pathlib import Path

from agent.runtime.container_paths import ContainerPaths
from agent.runtime.kernel.cgroup_layout import parse_layout
from agent.runtime.launch.cgroup_attach_lock import CgroupAttachLock
from agent.runtime.launch.optimizations import ALL_OPTIMIZATIONS
from agent.runtime.launch.sealed_program import SealedProgram
from tests.fakes.containers import build_image, container_request, log_lines, real_runtime, shell
from tests.integration.runtime.child_processes import executables


def test_an_image_without_mount_points_gets_them_from_the_base_layer(tmp_path: Path) -> None:
    """The upper directory, which is on disk, stays empty."""

    async def run() -> None:
        async with real_runtime(tmp_path) as (runtime, ends):
            image = build_image(tmp_path)
            files = {f"/etc/{name}": name.encode() for name in ("hosts", "hostname", "resolv.conf")}
            request = shell(image, "cat /etc/hosts /proc/1/comm && ls /dev/null /sys/class; sleep 1000", files=files)
            await runtime.start(request)
            upper = ContainerPaths(run=tmp_path / "run", state=tmp_path / "state").upper(request.task_id)
            assert list((upper / "u").iterdir()) == []
            assert not ends.reported

    asyncio.run(run())


def test_what_an_image_has_itself_lies_above_the_base_layer(tmp_path: Path) -> None:
    async def run() -> None:
        async with real_runtime(tmp_path) as (runtime, ends):
            image = build_image(tmp_path)
            (tmp_path / "layer/etc/hosts").write_text("of the image\n")
            request = shell(image, "read line < /etc/hosts; echo $line")
            await runtime.start(request)
            assert (await ends.of(request.task_id)).code == 0
            assert [record.data async for record in log_lines(runtime, request.task_id)] == [b"of the image"]

    asyncio.run(run())


def test_crun_runs_from_a_sealed_copy_and_needs_no_second_one(tmp_path: Path) -> None:
    """Its own protection would copy and execute it once more; a container cannot write to it either way."""

    async def run() -> None:
        async with real_runtime(tmp_path, optimizations=ALL_OPTIMIZATIONS) as (runtime, _):
            link = tmp_path / "run/programs/crun"
            assert str(link.readlink()).startswith(f"/proc/{os.getpid()}/fd/")
            request = container_request(build_image(tmp_path), "/bin/sleep", "1000")
            await runtime.start(request)
            waiting = asyncio.create_task(runtime.execute(request.task_id, ("/bin/sleep", "1000")))
            async with asyncio.timeout(60):
                while "/memfd:crun (deleted)" not in executables():  # noqa: ASYNC110 - the kernel notifies nobody
                    await asyncio.sleep(0.01)
            waiting.cancel()
            await asyncio.wait([waiting])

    asyncio.run(run())


def test_a_sealed_program_cannot_be_written_and_replaces_a_dead_link(tmp_path: Path) -> None:
    link = tmp_path / "true"
    link.symlink_to("/proc/1/fd/999999")
    program = SealedProgram(Path("/bin/true"), link)
    assert subprocess.run([program.path], check=False).returncode == 0
    try:
        descriptor = os.open(link, os.O_WRONLY)
        os.write(descriptor, b"x")
    except OSError as error:
        assert error.strerror in ("Operation not permitted", "Text file busy")
    else:
        raise AssertionError("it was written to")
    program.close()
    assert not link.exists()


def test_a_host_that_forbids_programs_in_memory_uses_the_one_on_disk(tmp_path: Path) -> None:
    program = SealedProgram(Path("/nonexistent/program"), tmp_path / "program")
    assert program.path == Path("/nonexistent/program")
    program.close()


def test_the_lock_of_cgroups_is_taken_while_it_is_wanted_only() -> None:
    """By the processor time of its thread: it works, and then it waits."""
    before = set(threading.enumerate())
    lock = CgroupAttachLock(parse_layout(Path("/proc/self/mountinfo").read_text()))
    (thread,) = set(threading.enumerate()) - before
    status = Path(f"/proc/self/task/{thread.native_id}/status")

    def switches() -> int:
        return int(status.read_text().split("\nvoluntary_ctxt_switches:")[1].split()[0])

    try:
        begin = switches()
        with lock.hold():
            deadline = time.monotonic() + 60
            while switches() < begin + 5:
                assert time.monotonic() < deadline
                os.sched_yield()
        assert thread.is_alive()
    finally:
        lock.close()
    assert not thread.is_alive()
