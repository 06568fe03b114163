"""Each setting of a container, read where it takes effect: inside, in /proc, in the cgroup."""

import asyncio
import json
import stat
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from agent.runtime.oci_runtime import OciRuntime
from agent.worker.container_runtime import ContainerRequest
from agent.worker.interfaces import Image
from shoal.api.v1.container_pb2 import CpuTuning, Device, HostNamespaces, MemoryTuning, Ulimit
from shoal.api.v1.meta_pb2 import Resources
from shoal.errors import InvalidInput
from tests.fakes.containers import Ends, build_image, container_request, log_lines, real_runtime, shell
from tests.integration.runtime.cgroup_files import cgroup_file, is_version_1

Body = Callable[[OciRuntime, Ends, Image], Awaitable[None]]


def with_runtime(directory: Path, body: Body) -> None:
    async def run() -> None:
        async with real_runtime(directory) as (runtime, ends):
            await body(runtime, ends, build_image(directory))

    asyncio.run(run())


async def output(runtime: OciRuntime, ends: Ends, request: ContainerRequest) -> str:
    await runtime.start(request)
    await ends.of(request.task_id)
    return "".join([f"{record.data.decode()}\n" async for record in log_lines(runtime, request.task_id)])


def outputs(directory: Path, script: str, **more: Any) -> str:
    lines: list[str] = []

    async def body(runtime: OciRuntime, ends: Ends, image: Image) -> None:
        lines.append(await output(runtime, ends, shell(image, script, **more)))

    with_runtime(directory, body)
    return lines[0]


def started(directory: Path, look: Callable[[int], None], **more: Any) -> None:
    """Look at a container that sleeps, by its process id."""

    async def body(runtime: OciRuntime, ends: Ends, image: Image) -> None:
        look((await runtime.start(container_request(image, "/bin/sleep", "1000", **more))).pid)

    with_runtime(directory, body)


def test_an_init_reaps_and_passes_signals_on(tmp_path: Path) -> None:
    async def body(runtime: OciRuntime, ends: Ends, image: Image) -> None:
        script = "trap 'exit 4' TERM; (sleep 0.01 &); cat /proc/1/cmdline; echo; while :; do sleep 0.02; done"
        request = shell(image, script, init=True, read_only=True)
        running = await runtime.start(request)
        async with asyncio.timeout(60):
            while not Path(f"/proc/{running.pid}/cmdline").read_bytes().startswith(b"/sbin/docker-init\0"):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            while request.task_id not in ends.reported:
                await runtime.signal(request.task_id, "SIGTERM")
                await asyncio.sleep(0.02)
        assert ends.reported[request.task_id][0].code in (4, 143)

    with_runtime(tmp_path, body)


def test_cpu_and_memory_controls(tmp_path: Path) -> None:
    def look(pid: int) -> None:
        assert cgroup_file(pid, "cpuset", "cpuset.cpus", "cpuset.cpus") == "0"
        assert cgroup_file(pid, "cpu", "cpu.shares", "cpu.weight") in ("512", "20")
        assert cgroup_file(pid, "cpu", "cpu.cfs_quota_us", "cpu.max").split()[0] == "5000"
        assert cgroup_file(pid, "memory", "memory.soft_limit_in_bytes", "memory.low") == str(16 << 20)
        if is_version_1():
            assert cgroup_file(pid, "memory", "memory.memsw.limit_in_bytes", "") == str(64 << 20)
            assert cgroup_file(pid, "memory", "memory.swappiness", "") == "7"
            assert "oom_kill_disable 1" in cgroup_file(pid, "memory", "memory.oom_control", "")
        else:
            assert cgroup_file(pid, "memory", "", "memory.swap.max") == str(32 << 20)

    memory = MemoryTuning(swap_bytes=64 << 20, reservation_bytes=16 << 20)
    if is_version_1():
        memory.swappiness, memory.oom_kill_disable = 7, True
    started(
        tmp_path,
        look,
        limits=Resources(memory_bytes=32 << 20),
        cpu=CpuTuning(cpuset_cpus="0", shares=512, quota_us=5_000, period_us=50_000),
        memory=memory,
    )


def test_devices_are_there_and_no_others_can_be_used(tmp_path: Path) -> None:
    """/dev/kmsg as another name, readable; the same device made by hand may only be read too."""
    script = "ls -l /dev/log0; (: < /dev/log0) && echo read; echo x > /dev/log0; mknod /tmp/loop b 7 0 && cat /tmp/loop"
    log = Device(source="/dev/kmsg", target="/dev/log0", permissions="r")
    lines = outputs(tmp_path, script, devices=[log], cap_add=["SYSLOG"])
    assert "1,  11" in lines and "\nread\n" in lines
    assert "can't create /dev/log0: Operation not permitted" in lines
    assert "can't open '/tmp/loop': Operation not permitted" in lines


def test_rules_of_the_device_cgroup(tmp_path: Path) -> None:
    script = "mknod /tmp/kmsg c 1 11; (: < /tmp/kmsg) && echo read"
    assert outputs(tmp_path, script, device_cgroup_rules=["c 1:11 rwm"], cap_add=["SYSLOG"]).endswith("read\n")
    (tmp_path / "second").mkdir()
    assert "read" not in outputs(tmp_path / "second", script, cap_add=["SYSLOG"])


def test_a_missing_device_is_bad_input(tmp_path: Path) -> None:
    async def body(runtime: OciRuntime, ends: Ends, image: Image) -> None:
        for source in ("/dev/missing", "/etc/passwd"):
            with pytest.raises(InvalidInput, match=f"{source} is not a device on this node"):
                await runtime.start(container_request(image, "/bin/true", devices=[Device(source=source)]))

    with_runtime(tmp_path, body)


def test_privileged_has_the_hosts_devices(tmp_path: Path) -> None:
    devices = {
        entry.name
        for entry in Path("/dev").iterdir()
        if not entry.is_symlink() and (stat.S_ISCHR(entry.stat().st_mode) or stat.S_ISBLK(entry.stat().st_mode))
    }
    lines = outputs(tmp_path, "ls /dev", privileged=True)
    assert devices - {"console"} <= set(lines.split())


def test_namespaces_of_the_host(tmp_path: Path) -> None:
    def look(pid: int) -> None:
        for kind, shared in (("pid", True), ("ipc", True), ("uts", True), ("mnt", False), ("net", False)):
            ours, theirs = Path(f"/proc/self/ns/{kind}"), Path(f"/proc/{pid}/ns/{kind}")
            assert (ours.readlink() == theirs.readlink()) == shared, kind
        shm = Path(f"/proc/{pid}/root/dev/shm")
        assert shm.stat().st_dev == Path("/dev/shm").stat().st_dev

    started(tmp_path, look, host_namespaces=HostNamespaces(pid=True, ipc=True, uts=True))


def test_a_container_does_not_inherit_how_soon_its_agent_is_killed(tmp_path: Path) -> None:
    own = Path("/proc/self/oom_score_adj")
    before = own.read_text()

    async def run() -> None:
        async with real_runtime(tmp_path) as (runtime, ends):
            request = shell(build_image(tmp_path), "cat /proc/self/oom_score_adj")
            await runtime.start(request)
            await ends.of(request.task_id)
            assert [record.data async for record in log_lines(runtime, request.task_id)] == [b"0"]

    own.write_text("500")  # any other than 0; less is not for everybody to set
    try:
        asyncio.run(run())
    finally:
        own.write_text(before)


def test_domain_name_ulimits_oom_score_and_sysctls(tmp_path: Path) -> None:
    lines = outputs(
        tmp_path,
        "cat /proc/sys/kernel/domainname /proc/self/oom_score_adj /proc/sys/kernel/msgmax; ulimit -n; ulimit -Hn",
        domainname="example.org",
        oom_score_adj=500,
        sysctls={"kernel.msgmax": "4321"},
        ulimits=[Ulimit(name="nofile", soft=100, hard=200)],
    )
    assert lines.split() == ["example.org", "500", "4321", "100", "200"]


def test_standard_input_stays_open_when_asked_for(tmp_path: Path) -> None:
    async def body(runtime: OciRuntime, ends: Ends, image: Image) -> None:
        closed = container_request(image, "/bin/cat")
        await runtime.start(closed)
        assert (await ends.of(closed.task_id)).code == 0
        kept = container_request(image, "/bin/cat", stdin_open=True)
        running = await runtime.start(kept)
        assert stat.S_ISFIFO(Path(f"/proc/{running.pid}/fd/0").stat().st_mode)
        assert kept.task_id not in ends.reported

    with_runtime(tmp_path, body)


def test_a_profile_of_ones_own(tmp_path: Path) -> None:
    profile = {
        "defaultAction": "SCMP_ACT_ALLOW",
        "archMap": [{"architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86"]}],
        "syscalls": [
            {"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 28},
            {"names": ["unlink"], "action": "SCMP_ACT_ERRNO", "includes": {"caps": ["CAP_SYS_TIME"]}},
        ],
    }
    lines = outputs(
        tmp_path, "mkdir /x; rm /etc/group && echo gone; cat /proc/self/status", seccomp=json.dumps(profile)
    )
    # Two streams, in whichever order they come.
    assert "No space left on device" in lines and "gone" in lines.splitlines() and "Seccomp:\t2" in lines


def test_masks_are_taken_away_when_asked_for(tmp_path: Path) -> None:
    masked = outputs(tmp_path, "cat /proc/self/mountinfo")
    assert "/proc/sys " in masked and "/sys/firmware " in masked
    (tmp_path / "second").mkdir()
    assert "/proc/sys " not in outputs(tmp_path / "second", "cat /proc/self/mountinfo", unmasked_paths=True)


def test_annotations_reach_the_runtimes_configuration(tmp_path: Path) -> None:
    async def body(runtime: OciRuntime, ends: Ends, image: Image) -> None:
        for _ in range(2):  # the second has the compiled filter, which comes as an annotation too
            request = container_request(image, "/bin/sleep", "1000", annotations={"com.example.a": "b"})
            await runtime.start(request)
            written = json.loads((tmp_path / "run/bundles" / request.task_id / "config.json").read_text())
            assert written["annotations"]["com.example.a"] == "b"

    with_runtime(tmp_path, body)
