"""What a container sees and may do, looked at from inside and from the host."""

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from agent.runtime.oci_runtime import OciRuntime
from agent.worker.container_runtime import ContainerRequest
from agent.worker.interfaces import Image
from shoal.api.v1.container_pb2 import BlockIo, Mount
from shoal.api.v1.meta_pb2 import Resources
from shoal.errors import InvalidInput
from shoal.protected_paths import MASKED_PATHS, READ_ONLY_PATHS
from tests.fakes.containers import Ends, build_image, container_request, log_lines, real_runtime, shell
from tests.integration.runtime.cgroup_files import cgroup_file, is_version_1

DEFAULT_CAPABILITIES = 0xA80425FB
"""The mask of Docker's fourteen (capabilities(7))."""

Body = Callable[[OciRuntime, Ends, Image], Awaitable[None]]


def with_runtime(directory: Path, body: Body) -> None:
    async def run() -> None:
        async with real_runtime(directory) as (runtime, ends):
            await body(runtime, ends, build_image(directory))

    asyncio.run(run())


async def output(runtime: OciRuntime, ends: Ends, request: ContainerRequest) -> str:
    """Everything that a container wrote until its end."""
    await runtime.start(request)
    await ends.of(request.task_id)
    records = [record async for record in log_lines(runtime, request.task_id)]
    return "".join(record.data.decode() + ("" if record.partial else "\n") for record in records)


def outputs(directory: Path, script: str, **more: Any) -> str:
    """What a shell script writes in a container of its own."""
    shown: list[str] = []

    async def body(runtime: OciRuntime, ends: Ends, image: Image) -> None:
        shown.append(await output(runtime, ends, shell(image, script, **more)))

    with_runtime(directory, body)
    return shown[0]


def test_namespaces_are_its_own(tmp_path: Path) -> None:
    async def body(runtime: OciRuntime, ends: Ends, image: Image) -> None:
        running = await runtime.start(container_request(image, "/bin/sleep", "1000"))
        for kind in ("pid", "mnt", "uts", "net", "ipc", "cgroup"):
            ours, theirs = Path(f"/proc/self/ns/{kind}"), Path(f"/proc/{running.pid}/ns/{kind}")
            assert ours.readlink() != theirs.readlink(), kind

    with_runtime(tmp_path, body)


def test_joins_a_network_namespace_by_descriptor_and_the_hosts_for_minus_one(tmp_path: Path) -> None:
    async def body(runtime: OciRuntime, ends: Ends, image: Image) -> None:
        first = await runtime.start(container_request(image, "/bin/sleep", "1000"))
        network = Path(f"/proc/{first.pid}/ns/net")
        descriptor = os.open(network, os.O_RDONLY | os.O_CLOEXEC)
        second = await runtime.start(container_request(image, "/bin/sleep", "1000", netns_fd=descriptor))
        os.close(descriptor)
        host = await runtime.start(container_request(image, "/bin/sleep", "1000", netns_fd=-1))
        assert Path(f"/proc/{second.pid}/ns/net").readlink() == network.readlink()
        assert Path(f"/proc/{host.pid}/ns/net").readlink() == Path("/proc/self/ns/net").readlink()

    with_runtime(tmp_path, body)


def test_limits_are_in_the_cgroup(tmp_path: Path) -> None:
    async def body(runtime: OciRuntime, ends: Ends, image: Image) -> None:
        limits = Resources(nano_cpus=250_000_000, memory_bytes=32 << 20, pids=40)
        request = container_request(image, "/bin/sleep", "1000", limits=limits)
        running = await runtime.start(request)
        pid = running.pid
        assert cgroup_file(pid, "memory", "memory.limit_in_bytes", "memory.max") == str(32 << 20)
        # No swap: version 1 counts memory and swap together, version 2 swap alone.
        swap = cgroup_file(pid, "memory", "memory.memsw.limit_in_bytes", "memory.swap.max")
        assert swap == (str(32 << 20) if is_version_1() else "0")
        assert cgroup_file(pid, "cpu", "cpu.cfs_quota_us", "cpu.max").split()[0] == "25000"
        assert cgroup_file(pid, "pids", "pids.max", "pids.max") == "40"
        stats = await runtime.stats([request.task_id, "0000000000000"])
        assert stats.keys() == {request.task_id}
        assert stats[request.task_id].pids == 1
        assert stats[request.task_id].cpu_ns > 0

    with_runtime(tmp_path, body)


def test_bounds_of_block_devices_and_processes_are_in_the_cgroup(tmp_path: Path) -> None:
    async def body(runtime: OciRuntime, ends: Ends, image: Image) -> None:
        name = next(path.name for path in sorted(Path("/sys/block").iterdir()) if Path("/dev", path.name).exists())
        number = Path("/sys/block", name, "dev").read_text().strip()
        bounds = BlockIo()
        bounds.read_bps.add(path=f"/dev/{name}", amount=1 << 20)
        memory = Mount(type=Mount.TMPFS, target="/tmp", tmpfs_options=["uid=7", "exec"])
        spec = {"block_io": bounds, "mounts": [memory]}
        request = shell(image, "sleep 1000", limits=Resources(pids=-1), **spec)
        pid = (await runtime.start(request)).pid
        found = cgroup_file(pid, "blkio", "blkio.throttle.read_bps_device", "io.max")
        assert found.startswith(f"{number} ") and str(1 << 20) in found
        assert cgroup_file(pid, "pids", "pids.max", "pids.max") == "max"
        owner = Path(f"/proc/{pid}/root/tmp").stat()
        options = next(line for line in Path(f"/proc/{pid}/mountinfo").read_text().splitlines() if " /tmp " in line)
        assert owner.st_uid == 7
        assert "noexec" not in options

    with_runtime(tmp_path, body)


def test_masked_and_read_only_paths(tmp_path: Path) -> None:
    """By the mounts that the process sees, and by trying; of the paths that this host has."""

    async def body(runtime: OciRuntime, ends: Ends, image: Image) -> None:
        script = "echo 1 > /proc/sys/vm/swappiness; sleep 1000"
        request = shell(image, script, cap_drop=["DAC_OVERRIDE"])
        running = await runtime.start(request)
        seen = mounts_of(running.pid)
        masked = [path for path in MASKED_PATHS if Path(path).exists()]
        assert masked
        for path in masked:
            content = Path(f"/proc/{running.pid}/root{path}")
            assert list(content.iterdir()) == [] if content.is_dir() else content.read_bytes() == b"", path
            assert path in seen, path
        for path in READ_ONLY_PATHS:
            assert not Path(path).exists() or "ro" in seen[path], path
        # On version 1 a tmpfs holds the mounts of the controllers.
        cgroups = [path for path in seen if path.startswith("/sys/fs/cgroup/")] or ["/sys/fs/cgroup"]
        for path in ("/sys", *cgroups):
            assert "ro" in seen[path], path
        line = b""
        async for record in log_lines(runtime, request.task_id, follow=True):
            line += record.data
            if not record.partial:
                break
        assert b"Read-only file system" in line

    with_runtime(tmp_path, body)


def mounts_of(pid: int) -> dict[str, set[str]]:
    """Options of the topmost mount by its place (proc(5), mountinfo)."""
    lines = [line.split(" ") for line in Path(f"/proc/{pid}/mountinfo").read_text().splitlines()]
    return {fields[4]: set(fields[5].split(",")) for fields in lines}


@pytest.mark.parametrize("no_new_privileges", [False, True])
def test_seccomp_and_capabilities(tmp_path: Path, no_new_privileges: bool) -> None:
    """The second container runs with the filter that was compiled for the first."""

    async def body(runtime: OciRuntime, ends: Ends, image: Image) -> None:
        for _ in range(2):
            script = "cat /proc/self/status; unshare -n true; mount -t tmpfs x /tmp"
            request = shell(image, script, no_new_privileges=no_new_privileges, cap_add=["SYS_PTRACE"])
            shown = await output(runtime, ends, request)
            fields = dict(line.split(":\t", 1) for line in shown.splitlines() if ":\t" in line)
            assert fields["Seccomp"] == "2"
            assert fields["NoNewPrivs"] == str(int(no_new_privileges))
            assert int(fields["CapBnd"], 16) == int(fields["CapEff"], 16) == DEFAULT_CAPABILITIES | 1 << 19
            assert int(fields["CapInh"], 16) == int(fields["CapAmb"], 16) == 0
            assert "unshare(0x40000000): Operation not permitted" in shown
            assert "mount: permission denied" in shown

    with_runtime(tmp_path, body)
    assert len(list((tmp_path / "state").glob("seccomp/*"))) == 0


def test_privileged_may_mount(tmp_path: Path) -> None:
    assert outputs(tmp_path, "mount -t tmpfs x /tmp && echo ok", privileged=True) == "ok\n"


def test_user_environment_directory_and_host_name(tmp_path: Path) -> None:
    shown = outputs(
        tmp_path,
        "id; pwd; hostname; echo $HOME $IMAGE $MINE; ulimit -n; cat /etc/hosts",
        user="app",
        working_dir="/made/for/it",
        hostname="box",
        env=["MINE=1"],
        files={"/etc/hosts": b"127.0.0.1 localhost box\n"},
    )
    assert shown.splitlines() == [
        "uid=1000(app) gid=1000(app) groups=29(audio)",
        "/made/for/it",
        "box",
        "/home/app yes 1",
        "1024",
        "127.0.0.1 localhost box",
    ]


def test_a_passwd_that_points_out_of_the_image_is_not_followed(tmp_path: Path) -> None:
    """The host's /etc/passwd has `daemon`; an image whose link leads there must not see it."""

    async def body(runtime: OciRuntime, ends: Ends, image: Image) -> None:
        passwd = image.layers[0] / "etc/passwd"
        passwd.unlink()
        passwd.symlink_to("../../../../../../../../etc/group")
        with pytest.raises(InvalidInput, match="user 'daemon' not found"):
            await runtime.start(container_request(image, "/bin/true", user="daemon"))

    with_runtime(tmp_path, body)


def test_mounts_and_read_only_root(tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    (shared / "greeting").write_text("hello\n")
    mounts = [
        Mount(type=Mount.BIND, source=str(shared), target="/data/shared", read_only=True),
        Mount(type=Mount.BIND, source=str(shared), target="/data/writable"),
        Mount(type=Mount.TMPFS, target="/tmp", tmpfs_bytes=1 << 20),
    ]
    shown = outputs(
        tmp_path,
        "exec 2>&1; cat /data/shared/greeting; echo x > /data/shared/no; echo x > /no; echo yes > /data/writable/yes;"
        " echo x > /tmp/x && echo tmp; dd if=/dev/zero of=/tmp/big bs=1M count=2 2>&1 | head -1",
        mounts=mounts,
        read_only=True,
    )
    assert shown.splitlines()[0] == "hello"
    assert shown.count("Read-only file system") == 2
    assert "\ntmp\n" in shown
    assert "No space left on device" in shown
    assert (shared / "yes").read_text() == "yes\n"


def test_many_layers(tmp_path: Path) -> None:
    """More than a page of mount options could name; and a path with the separators of mount options."""

    async def body(runtime: OciRuntime, ends: Ends, image: Image) -> None:
        layers = []
        for number in range(120):
            layer = tmp_path / f"layers:with,commas\\{'x' * 100}" / str(number)
            layer.mkdir(parents=True)
            (layer / f"file-{number}").touch()
            layers.append(layer)
        many = Image(image.reference, image.digest, image.config, (*layers, *image.layers))
        shown = await output(runtime, ends, shell(many, "ls -d /file-* | head -1000"))
        assert len(shown.splitlines()) == 120

    with_runtime(tmp_path, body)


def test_writes_do_not_reach_the_layers(tmp_path: Path) -> None:
    async def body(runtime: OciRuntime, ends: Ends, image: Image) -> None:
        assert await output(runtime, ends, shell(image, "echo mine > /etc/passwd; echo x > /new; cat /etc/passwd"))
        assert not (image.layers[0] / "new").exists()
        assert "app" in (image.layers[0] / "etc/passwd").read_text()
        assert "app" in await output(runtime, ends, shell(image, "cat /etc/passwd"))

    with_runtime(tmp_path, body)


def test_a_terminal(tmp_path: Path) -> None:
    assert "/dev/pts/0" in outputs(tmp_path, "ls -l /proc/self/fd/1; echo $TERM", tty=True)
