"""Secrets, configs and volumes in a real container: modes, memory, what the image had, links that lead nowhere."""

import asyncio
import os
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agent.runtime.kernel.linux import MS_SHARED, mount, unmount
from agent.runtime.oci_runtime import OciRuntime
from agent.worker.interfaces import Image, MountedFile, MountSource
from shoal.api.v1.container_pb2 import Mount
from shoal.errors import InvalidInput, ShoalError, Unavailable
from tests.fakes.containers import Ends, build_image, log_lines, real_runtime, shell

Body = Callable[[OciRuntime, Ends, Image], Awaitable[None]]


def with_runtime(directory: Path, body: Body) -> None:
    async def run() -> None:
        async with real_runtime(directory) as (runtime, ends):
            await body(runtime, ends, build_image(directory))

    asyncio.run(run())


async def output(runtime: OciRuntime, ends: Ends, image: Image, script: str, **more: Any) -> list[str]:
    """The lines of a script in a container with these mounted files or volumes."""
    targets = [Mount(type=Mount.VOLUME, source="v", target=target) for target in more.get("volumes", {})]
    request = replace(shell(image, script, mounts=targets), **more)
    await runtime.start(request)
    await ends.of(request.task_id)
    lines = [record.data.decode() async for record in log_lines(runtime, request.task_id)]
    await runtime.remove(request.task_id, keep_logs=False)
    return lines


def source(
    data: Path, *, options: dict[str, str] | None = None, subpath: str = "", copy_up: bool = True
) -> MountSource:
    data.mkdir(parents=True, exist_ok=True)
    return MountSource(data=data, options=options or {}, subpath=subpath, populate=copy_up)


def test_files_have_their_owner_and_mode_in_memory_that_is_not_swapped(tmp_path: Path) -> None:
    async def body(runtime: OciRuntime, ends: Ends, image: Image) -> None:
        large = os.urandom(500 * 1024).hex().encode()[: 500 * 1024]
        files = (
            MountedFile("/run/secrets/pw", b"hunter2", 7, 8, 0o400, executable=False),
            MountedFile("/etc/deep/er/start", b"#!/bin/sh\necho started\n", 0, 0, 0o555, executable=True),
            MountedFile("/large", large, 0, 0, 0o444, executable=False),
        )
        script = (
            'echo "$(cat /run/secrets/pw)"; ls -ln /run/secrets/pw; /etc/deep/er/start; '
            "grep secrets /proc/self/mountinfo; wc -c < /large 2>/dev/null || ls -ln /large; "
            "echo x > /run/secrets/pw || echo refused"
        )
        lines = await output(runtime, ends, image, script, mounted_files=files)
        assert {"hunter2", "started", "refused"} <= set(lines)
        assert any(line.split()[:4] == ["-r--------", "1", "7", "8"] for line in lines)
        (mount,) = [line for line in lines if " /run/secrets/pw " in line]
        assert "noexec" in mount and "noswap" in mount.rpartition(" - ")[2], "Linux 6.4 has noswap"
        assert any("512000" in line for line in lines)
        assert "shoal-files" not in Path("/proc/self/mounts").read_text()

    with_runtime(tmp_path, body)


def test_an_empty_volume_takes_what_the_image_has(tmp_path: Path) -> None:
    async def body(runtime: OciRuntime, ends: Ends, image: Image) -> None:
        layer = image.layers[0]
        (layer / "data/inner").mkdir()
        (layer / "data/inner/file").write_text("of the image\n")
        (layer / "data/link").symlink_to("inner/file")
        os.chown(layer / "data", 1000, 1000)
        (layer / "data").chmod(0o750)
        data = tmp_path / "volumes/v/_data"
        first = await output(
            runtime, ends, image, "cat /data/link; echo mine > /data/own", volumes={"/data": source(data)}
        )
        assert first == ["of the image"]
        status = data.stat()
        assert (status.st_uid, status.st_gid, status.st_mode & 0o7777) == (1000, 1000, 0o750)
        (data / "inner/file").unlink()
        second = await output(runtime, ends, image, "cat /data/own; ls /data/inner", volumes={"/data": source(data)})
        assert second == ["mine"], "it is filled once"
        bare = tmp_path / "volumes/w/_data"
        assert await output(runtime, ends, image, "ls /data", volumes={"/data": source(bare, copy_up=False)}) == []

    with_runtime(tmp_path, body)


def test_a_subpath_stays_inside_the_volume(tmp_path: Path) -> None:
    async def body(runtime: OciRuntime, ends: Ends, image: Image) -> None:
        data = tmp_path / "v/_data"
        (data / "sub").mkdir(parents=True)
        (data / "sub/file").write_text("inner\n")
        (data / "evil").symlink_to("/etc")
        (data / "up").symlink_to("../../..")
        whole = await output(runtime, ends, image, "cat /d/file", volumes={"/d": source(data, subpath="sub")})
        assert whole == ["inner"]
        with pytest.raises(InvalidInput, match="'evil' is not a directory in the volume"):
            await output(runtime, ends, image, "ls /d", volumes={"/d": source(data, subpath="evil")})
        climbed = await output(runtime, ends, image, "ls /d", volumes={"/d": source(data, subpath="up")})
        assert climbed == ["evil", "sub", "up"], "the volume itself is the top"

    with_runtime(tmp_path, body)


def test_what_cannot_be_mounted_is_reported_and_leaves_nothing(tmp_path: Path) -> None:
    async def body(runtime: OciRuntime, ends: Ends, image: Image) -> None:
        wrong: list[tuple[dict[str, str], type[ShoalError]]] = [
            ({"type": "no-such-fs", "device": "x"}, Unavailable),
            ({"type": "none", "o": "bind", "device": "/no/such/place"}, InvalidInput),
        ]
        for options, error in wrong:
            with pytest.raises(error):
                await output(runtime, ends, image, "true", volumes={"/d": source(tmp_path / "v", options=options)})
        memory = {"type": "tmpfs", "device": "tmpfs", "o": "size=64k"}
        volumes = {"/d": source(tmp_path / "v", options=memory)}
        lines = await output(runtime, ends, image, "grep ' /d ' /proc/self/mounts", volumes=volumes)
        assert len(lines) == 1 and "size=64k" in lines[0]
        assert str(tmp_path / "run/bundles") not in Path("/proc/self/mounts").read_text()
        assert await runtime.recover() == {}

    with_runtime(tmp_path, body)


def test_a_missing_source_is_made_when_asked_for(tmp_path: Path) -> None:
    async def body(runtime: OciRuntime, ends: Ends, image: Image) -> None:
        place = tmp_path / "made/here"
        mount = Mount(type=Mount.BIND, source=str(place), target="/d")
        with pytest.raises(InvalidInput, match=r"^mount source .* does not exist on this host$"):
            await runtime.start(shell(image, "true", mounts=[mount]))
        mount.create_source = True
        request = shell(image, "echo x > /d/file", mounts=[mount])
        await runtime.start(request)
        assert (await ends.of(request.task_id)).code == 0
        assert (place / "file").read_text() == "x\n"
        mount.source = str(place / "file")  # a file that is there stays one
        request = shell(image, "cat /d", mounts=[mount])
        await runtime.start(request)
        assert (await ends.of(request.task_id)).code == 0

    with_runtime(tmp_path, body)


def test_what_the_host_mounts_later_is_seen_where_a_mount_follows_it(tmp_path: Path) -> None:
    place, late = tmp_path / "shown", tmp_path / "shown/late"
    place.mkdir()
    mount("none", str(place), "tmpfs", 0, "size=64k")
    mount("none", str(place), None, MS_SHARED)
    late.mkdir()

    async def body(runtime: OciRuntime, ends: Ends, image: Image) -> None:
        mounts = [
            Mount(type=Mount.BIND, source=str(place), target="/follows", propagation="rslave"),
            Mount(type=Mount.BIND, source=str(place), target="/does-not"),
        ]
        waiting = "until test -e /follows/late/file; do sleep 0.05; done"
        request = shell(image, f"{waiting}; ls /does-not/late", mounts=mounts)
        await runtime.start(request)
        mount("none", str(late), "tmpfs", 0, "size=64k")
        try:
            (late / "file").touch()
            assert (await ends.of(request.task_id)).code == 0
            assert [record.data async for record in log_lines(runtime, request.task_id)] == []
        finally:
            unmount(late)

    try:
        with_runtime(tmp_path, body)
    finally:
        unmount(place)
