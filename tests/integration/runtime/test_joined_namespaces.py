"""Containers that share processes and inter-process communication with others, and whose addresses change."""

import asyncio
import os
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from agent.runtime.oci_runtime import OciRuntime
from agent.worker.container_runtime import ContainerRequest
from agent.worker.interfaces import Image
from shoal.api.v1.container_pb2 import Mount
from shoal.errors import NotFound
from tests.fakes.containers import Ends, build_image, log_lines, real_runtime, shell
from tests.polling import until

Body = Callable[[OciRuntime, Ends, Image, ContainerRequest], Awaitable[None]]
SERVES = "trap 'exit 6' TERM; echo here > /dev/shm/note; while :; do sleep 0.02; done"
pytestmark = pytest.mark.usefixtures("program")


def beside(directory: Path, body: Body, script: str = SERVES, **spec: object) -> None:
    """Beside a container that has written its note; from then on it ends at SIGTERM."""

    async def run() -> None:
        async with real_runtime(directory) as (runtime, ends):
            image = build_image(directory)
            other = shell(image, script, **spec)
            running = await runtime.start(other)
            await until(Path(f"/proc/{running.pid}/root/dev/shm/note").exists)
            async with asyncio.timeout(60):
                await body(runtime, ends, image, other)

    asyncio.run(run())


async def output(runtime: OciRuntime, ends: Ends, request: ContainerRequest) -> list[str]:
    await runtime.start(request)
    assert (await ends.of(request.task_id)).code == 0
    return [line.data.decode().strip() async for line in log_lines(runtime, request.task_id)]


def test_processes_of_another_are_seen_and_can_be_signalled(tmp_path: Path) -> None:
    async def body(runtime: OciRuntime, ends: Ends, image: Image, other: ContainerRequest) -> None:
        joined = replace(shell(image, "cat /proc/1/cmdline; kill -TERM 1"), pid_task_id=other.task_id)
        shown = await output(runtime, ends, joined)
        assert "/dev/shm/note" in " ".join(shown)
        assert (await ends.of(other.task_id)).code == 6

    beside(tmp_path, body)


def test_the_end_of_the_first_process_ends_those_who_joined(tmp_path: Path) -> None:
    async def body(runtime: OciRuntime, ends: Ends, image: Image, other: ContainerRequest) -> None:
        joined = replace(shell(image, "while :; do sleep 0.02; done"), pid_task_id=other.task_id)
        await runtime.start(joined)
        await runtime.signal(other.task_id, "SIGKILL")
        assert (await ends.of(joined.task_id)).code == 137

    beside(tmp_path, body)


def test_shared_memory_and_the_ipc_namespace_are_the_others(tmp_path: Path) -> None:
    async def body(runtime: OciRuntime, ends: Ends, image: Image, other: ContainerRequest) -> None:
        script = (
            "until cat /dev/shm/note; do sleep 0.02; done; echo there > /dev/shm/answer; readlink /proc/self/ns/ipc"
        )
        shown = await output(runtime, ends, replace(shell(image, script), ipc_task_id=other.task_id))
        again = replace(shell(image, "cat /dev/shm/answer; readlink /proc/self/ns/ipc"), ipc_task_id=other.task_id)
        assert shown[-2:] == ["here", shown[-1]]
        assert await output(runtime, ends, again) == ["there", shown[-1]]
        assert shown[-1] != str(Path("/proc/self/ns/ipc").readlink())
        alone = shell(image, "ls /dev/shm; readlink /proc/self/ns/ipc")
        (own,) = await output(runtime, ends, alone)
        assert own != shown[-1]

    beside(tmp_path, body)


def test_what_does_not_run_cannot_be_joined(tmp_path: Path) -> None:
    async def body(runtime: OciRuntime, ends: Ends, image: Image, other: ContainerRequest) -> None:
        await runtime.signal(other.task_id, "SIGKILL")
        await ends.of(other.task_id)
        alone = shell(image, "true")
        for kind, joined in (
            ("PID", replace(alone, pid_task_id=other.task_id)),
            ("IPC", replace(alone, ipc_task_id=other.task_id)),
        ):
            with pytest.raises(NotFound, match=f"cannot join {kind} namespace of a non running container"):
                await runtime.start(joined)
            assert not await asyncio.to_thread(list, tmp_path.rglob(f"*{joined.task_id}*"))
        with pytest.raises(NotFound):
            await runtime.open_network(other.task_id)

    beside(tmp_path, body)


def test_the_hosts_file_follows_the_addresses(tmp_path: Path) -> None:
    hosts = b"127.0.0.1\tlocalhost\n10.0.0.7\tdb\n"

    async def body(runtime: OciRuntime, ends: Ends, image: Image, other: ContainerRequest) -> None:
        del ends, image
        pid = (await runtime.recover())[other.task_id].pid  # type: ignore[union-attr]  # it runs
        file = Path(f"/proc/{pid}/root/etc/hosts")
        for addresses in (["10.0.0.7", "10.0.1.7"], [], ["10.0.2.7", "fd00::7"]):
            await runtime.set_addresses(other.task_id, addresses)
            lines = file.read_text().splitlines()
            assert lines == ["127.0.0.1\tlocalhost", *(f"{each}\tdb" for each in addresses or ["127.0.1.1"])]
        namespace = await runtime.open_network(other.task_id)
        assert os.fstat(namespace).st_ino == Path(f"/proc/{pid}/ns/net").stat().st_ino
        os.close(namespace)

    beside(tmp_path, body, hostname="db", files={"/etc/hosts": hosts})


def test_a_hosts_file_of_the_users_own_is_left_alone(tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.write_text("10.0.0.7\tdb\n")

    async def body(runtime: OciRuntime, ends: Ends, image: Image, other: ContainerRequest) -> None:
        del ends, image
        await runtime.set_addresses(other.task_id, ["10.0.1.7"])
        assert mine.read_text() == "10.0.0.7\tdb\n"

    mount = Mount(type=Mount.BIND, source=str(mine), target="/etc/hosts")
    beside(tmp_path, body, hostname="db", files={"/etc/hosts": b"10.0.0.7\tdb\n"}, mounts=[mount])
