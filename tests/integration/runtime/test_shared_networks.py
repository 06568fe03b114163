"""Containers that share the network of another one, on the real runtime and the real kernel."""

import asyncio
import os
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agent.runtime.oci_runtime import OciRuntime
from agent.worker.container_runtime import ContainerRequest, Exit, Running
from agent.worker.interfaces import Image
from shoal.errors import InvalidInput, NotFound
from tests.fakes.containers import Ends, build_image, log_lines, new_cgroup, open_test_runtime, real_runtime, shell

ETC = {
    "/etc/hosts": b"127.0.0.1\tlocalhost\n10.0.0.7\tdb\n",
    "/etc/resolv.conf": b"nameserver 169.254.1.1\n",
    "/etc/hostname": b"db\n",
}
SERVE = "mkdir /www; echo here > /www/index.html; exec httpd -f -p 127.0.0.1:7000 -h /www"
ASK = r"until printf 'GET /index.html HTTP/1.0\r\n\r\n' | nc 127.0.0.1 7000; do sleep 0.02; done"
LIVES = "trap 'exit 6' TERM; while :; do sleep 0.02; done"


async def sharing(runtime: OciRuntime, other: str, request: ContainerRequest) -> Running:
    """Start a container that shares another one's network, as the worker does."""
    sandbox = await runtime.join_network(other)
    assert sandbox.shared is not None
    spec = type(request.spec)()
    spec.CopyFrom(request.spec)
    spec.hostname = sandbox.shared.hostname
    try:
        shared: Mapping[str, Any] = {"netns_fd": sandbox.netns_fd, "etc_files": sandbox.shared.files, "spec": spec}
        return await runtime.start(replace(request, **shared, shares_network=True))
    finally:
        os.close(sandbox.netns_fd)


def provider(image: Image, script: str) -> ContainerRequest:
    return shell(image, script, hostname="db", files=ETC)


async def output(runtime: OciRuntime, task_id: str) -> list[bytes]:
    return [line.data async for line in log_lines(runtime, task_id, follow=True)]


def test_both_are_on_one_loopback_with_the_same_names(tmp_path: Path) -> None:
    async def run() -> None:
        async with real_runtime(tmp_path) as (runtime, ends):
            image = build_image(tmp_path)
            own = provider(image, SERVE)
            first = await runtime.start(own)
            one = shell(image, f"{ASK}; hostname; cat /etc/hosts /etc/resolv.conf")
            second = await sharing(runtime, own.task_id, one)
            links = {Path(f"/proc/{each.pid}/ns/net").readlink() for each in (first, second)}
            assert len(links) == 1 and links != {Path("/proc/self/ns/net").readlink()}
            assert (await ends.of(one.task_id)).code == 0
            shown = b"\n".join(await output(runtime, one.task_id)).decode()
            assert shown.replace("\r", "").partition("\n\n")[2].split() == [
                "here",
                "db",
                *(ETC["/etc/hosts"] + ETC["/etc/resolv.conf"]).decode().split(),
            ]
            assert Path(f"/proc/{first.pid}/ns/uts").readlink() != Path("/proc/self/ns/uts").readlink()

    asyncio.run(run())


def test_after_a_restart_of_the_agent_both_are_watched_and_more_can_join(tmp_path: Path) -> None:
    async def run() -> None:
        cgroup, image = new_cgroup(), build_image(tmp_path)
        own, one = provider(image, SERVE), shell(image, LIVES)
        async with open_test_runtime(tmp_path, Ends(), cgroup) as runtime:
            await runtime.start(own)
            await sharing(runtime, own.task_id, one)
        ends = Ends()
        async with AsyncExitStack() as stack:
            runtime = await stack.enter_async_context(open_test_runtime(tmp_path, ends, cgroup))
            stack.push_async_callback(runtime.reset)
            found = await runtime.recover()
            assert {task_id for task_id, each in found.items() if isinstance(each, Running)} == {
                own.task_id,
                one.task_id,
            }
            another = shell(image, ASK)
            await sharing(runtime, own.task_id, another)
            assert (await ends.of(another.task_id)).code == 0
            await runtime.signal(own.task_id, "SIGKILL")
            assert (await ends.of(own.task_id)).code == 137
            assert one.task_id not in ends.reported  # the namespace lives as long as a process is in it
            with pytest.raises(NotFound):
                await runtime.join_network(own.task_id)
            await runtime.signal(one.task_id, "SIGTERM")
            end: Exit = await ends.of(one.task_id)
            assert end.code == 6

    asyncio.run(run())


def test_what_the_other_container_makes_of_its_files_is_bounded(tmp_path: Path) -> None:
    """At most 2 MiB of a file are read, and nothing but a regular one: the other container does there what it likes."""

    async def run() -> None:
        async with real_runtime(tmp_path) as (runtime, ends):
            image = build_image(tmp_path)
            for number, script in enumerate(
                (
                    "rm -f /etc/resolv.conf; ln -s /dev/zero /etc/resolv.conf",
                    "rm -f /etc/resolv.conf; mknod /etc/resolv.conf p",
                    "dd if=/dev/zero of=/etc/resolv.conf bs=1M count=3",
                )
            ):
                bad = shell(image, f"{script} && echo ready; sleep 100", log=None)
                await runtime.start(bad)
                async for line in log_lines(runtime, bad.task_id, follow=True):
                    if line.data.strip() == b"ready":
                        break
                with pytest.raises(InvalidInput, match=r"cannot share /etc/resolv\.conf of task \w+"):
                    await runtime.join_network(bad.task_id)
                assert bad.task_id not in ends.reported, number

    asyncio.run(run())


def test_settings_of_the_other_ones_network_are_refused(tmp_path: Path) -> None:
    async def run() -> None:
        async with real_runtime(tmp_path) as (runtime, _):
            image = build_image(tmp_path)
            own = provider(image, LIVES)
            await runtime.start(own)
            with pytest.raises(InvalidInput, match=r"net\.ipv4\.ip_forward"):
                await sharing(runtime, own.task_id, shell(image, LIVES, sysctls={"net.ipv4.ip_forward": "1"}))

    asyncio.run(run())
