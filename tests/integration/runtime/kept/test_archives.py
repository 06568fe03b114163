"""Files of real containers, running and stopped: read, written, compared with their image."""

import asyncio
import hashlib
import io
import os
import tarfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agent.archives.container_files import ContainerFiles
from agent.images.disk_guard import DiskGuard
from agent.images.layers.layer_unpack import extract_layer
from agent.runtime import container_table
from agent.runtime.oci_runtime import OciRuntime
from agent.worker.container_runtime import ContainerRequest
from agent.worker.interfaces import Image, ImageConfig, MountSource
from shoal.api.v1.container_pb2 import ContainerSpec, Mount
from shoal.api.v1.engine_pb2 import ArchiveRequest, PathChange, WriteArchiveRequest
from shoal.errors import InvalidInput, NotFound, PermissionDenied, Refused, Unavailable
from shoal.ids import new_id
from shoal.tar.budget import LayerBudget
from tests.fakes.containers import Ends, build_image, log_lines, real_runtime, shell

Body = Callable[[OciRuntime, Ends, Image, ContainerFiles], Awaitable[None]]


def with_runtime(directory: Path, body: Body) -> None:
    async def run() -> None:
        image = build_image(directory)
        async with real_runtime(directory) as (runtime, ends), asyncio.timeout(60):
            await body(runtime, ends, image, ContainerFiles(runtime))

    asyncio.run(run())


def run_of(image: Image, container: str, script: str, **spec: Any) -> ContainerRequest:
    return replace(shell(image, script, **spec), container_id=container, volatile=False)


async def run_to_end(runtime: OciRuntime, ends: Ends, request: ContainerRequest) -> int:
    await runtime.start(request)
    end = await ends.of(request.task_id)
    await runtime.remove(request.task_id, keep_logs=False)
    return end.code


async def read(files: ContainerFiles, container: str, path: str) -> dict[str, bytes | None]:
    """Files' contents, and None for others, by name in the archive."""
    chunks = [chunk async for chunk in files.read(ArchiveRequest(container=container, path=path))]
    assert chunks[0].HasField("stat")
    with tarfile.open(fileobj=io.BytesIO(b"".join(chunk.data for chunk in chunks))) as tar:
        regular = {info.name: tar.extractfile(info) for info in tar.getmembers() if info.isreg()}
        names = dict.fromkeys(tar.getnames())
        return names | {name: file.read() for name, file in regular.items() if file is not None}


def tar_with(name: str, data: bytes, **fields: Any) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        info = tarfile.TarInfo(name)
        info.size, info.mode = len(data), 0o644
        for field, value in fields.items():
            setattr(info, field, value)
        tar.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


async def write(files: ContainerFiles, container: str, path: str, content: bytes, **options: Any) -> None:
    async def messages() -> AsyncIterator[WriteArchiveRequest]:
        yield WriteArchiveRequest(target=ArchiveRequest(container=container, path=path), **options)
        for begin in range(0, len(content), 100_000):
            yield WriteArchiveRequest(data=content[begin : begin + 100_000])

    await files.write(messages())


async def changes(files: ContainerFiles, container: str) -> dict[str, str]:
    found = [change async for batch in files.changes(container) for change in batch.changes]
    return {change.path: PathChange.Kind.Name(change.kind)[0] for change in found}


def test_a_running_container_with_its_volumes(tmp_path: Path) -> None:
    (tmp_path / "volume").mkdir()

    async def body(runtime: OciRuntime, ends: Ends, image: Image, files: ContainerFiles) -> None:
        del ends
        request = shell(
            image, "echo in-volume > /data/file; echo own > /own; ln -s /data /via; echo ready; sleep 1000",
            mounts=[Mount(type=Mount.VOLUME, source="v", target="/data")],
        )  # fmt: skip
        request = replace(request, volumes={"/data": MountSource(tmp_path / "volume", {}, "", populate=False)})
        await runtime.start(request)
        task = request.task_id
        async with aclosing(log_lines(runtime, task, follow=True)) as lines:
            assert (await anext(lines)).data == b"ready"
        assert await read(files, task, "/own") == {"own": b"own\n"}
        assert await read(files, task, "/via/file") == {"file": b"in-volume\n"}
        assert (await files.stat(ArchiveRequest(container=task, path="/via"))).link_target == "/data"
        assert (await files.stat(ArchiveRequest(container=task, path="/via", follow=True))).link_target == ""
        await write(files, task, "/via", tar_with("put", b"x" * 1_000_000, uid=5))
        put = tmp_path / "volume/put"
        assert put.read_bytes() == b"x" * 1_000_000 and put.stat().st_uid == 5
        await write(files, task, "/tmp", tar_with("mine", b"", uid=5), copy_owner=True)  # its own
        assert (await files.stat(ArchiveRequest(container=task, path="/tmp/mine"))).mode & 0o777 == 0o644
        for path in ("/proc/self", "/sys/kernel", "/proc/1/root"):
            with pytest.raises((Refused, InvalidInput, NotFound)):
                await read(files, task, path)
            with pytest.raises((Refused, InvalidInput, NotFound)):
                await write(files, task, path, tar_with("x", b""))
        with pytest.raises(NotFound):
            await read(files, task, "/none")
        names = [each async for each in files.export(task)]
        with tarfile.open(fileobj=io.BytesIO(b"".join(chunk.data for chunk in names))) as tar:
            found = tar.getnames()
        assert {"own", "bin/busybox", "data", "proc"} <= set(found)
        whole = await read(files, task, "/")
        assert "./data/file" in whole and "./proc" in whole and not any(name.startswith("./proc/") for name in whole)
        assert "data/file" not in found and not any(name.startswith("proc/") for name in found)
        assert (await changes(files, task))["/own"] == "A"

    with_runtime(tmp_path, body)


def test_a_stopped_container_and_one_that_never_ran(tmp_path: Path) -> None:
    (tmp_path / "volume").mkdir()
    (tmp_path / "read-only").mkdir()

    async def body(runtime: OciRuntime, ends: Ends, image: Image, files: ContainerFiles) -> None:
        image = replace(image, config=replace(image.config, volumes=("/anonymous",)))
        container = new_id()
        with pytest.raises(NotFound):
            await read(files, container, "/")
        await runtime.make_root(container, image, volatile=False)
        await write(files, container, "/tmp", tar_with("before", b"the start"))  # its own
        assert await read(files, container, "/tmp/before") == {"before": b"the start"}  # its own
        assert await changes(files, container) == {"/tmp": "M", "/tmp/before": "A"}  # its own
        request = run_of(
            image, container,
            "grep -q start /tmp/before && rm /etc/group && mkdir /made && echo 1 > /made/file && echo 2 > /data/file "
            "&& echo 3 > /anonymous/file && rm -r /root && mkdir /root",
            mounts=[
                Mount(type=Mount.VOLUME, source="v", target="/data"),
                Mount(type=Mount.VOLUME, source="r", target="/read-only", read_only=True),
            ],
        )  # fmt: skip
        volumes = {
            "/data": MountSource(tmp_path / "volume", {}, "", populate=False),
            "/read-only": MountSource(tmp_path / "read-only", {}, "", populate=False),
        }
        assert await run_to_end(runtime, ends, replace(request, volumes=volumes)) == 0
        assert await read(files, container, "/made") == {"made": None, "made/file": b"1\n"}
        assert await read(files, container, "/data/file") == {"file": b"2\n"}
        assert await read(files, container, "/anonymous/file") == {"file": b"3\n"}
        await write(files, container, "/data", tar_with("while-stopped", b"4"))
        assert (tmp_path / "volume/while-stopped").read_bytes() == b"4"
        with pytest.raises(PermissionDenied, match="Read-only"):
            await write(files, container, "/read-only", tar_with("x", b""))
        with pytest.raises(PermissionDenied, match="is a device"):
            await write(files, container, "/tmp", tar_with("x", b"", type=tarfile.CHRTYPE))  # its own
        await write(files, container, "/tmp", tar_with("x", b"", uid=5), copy_owner=True)  # its own
        assert "./proc" in (whole := await read(files, container, "/")) and "./made/file" in whole
        found = await changes(files, container)
        assert (found["/etc/group"], found["/made"], found["/made/file"], found["/etc"]) == ("D", "A", "A", "M")
        assert found["/root"] == "M"
        await check_layer(runtime, ends, image, files, container)
        again = run_of(image, container, "test -e /data/while-stopped && test ! -e /etc/group")
        assert await run_to_end(runtime, ends, replace(again, volumes={})) in (0, 1)
        await runtime.remove_root(container)

    with_runtime(tmp_path, body)


async def check_layer(runtime: OciRuntime, ends: Ends, image: Image, files: ContainerFiles, container: str) -> None:
    """What it has changed, as a layer on its image: another container of both has the same files."""
    content = b"".join([chunk.data async for chunk in files.layer(container)])
    directory = image.layers[0].parent / "committed"
    (directory / "layer").mkdir(parents=True)
    (directory / "discarded").mkdir()
    descriptors = [os.open(directory / name, os.O_RDONLY) for name in ("layer", "discarded")]
    disk = DiskGuard(descriptors[0], reserve_bytes=0)
    digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
    budget = LayerBudget()
    extract_layer(io.BufferedReader(io.BytesIO(content)), *descriptors, diff_id=digest, budget=budget, disk=disk)
    for each in descriptors:
        os.close(each)
    committed = replace(image, layers=(directory / "layer", *image.layers), config=ImageConfig())
    script = "cat /made/file; test ! -e /etc/group && test -e /etc/passwd && test -d /root && cat /tmp/before"
    request = shell(committed, script)
    await runtime.start(request)
    assert (await ends.of(request.task_id)).code == 0
    lines = [line.data async for line in log_lines(runtime, request.task_id)]
    assert lines == [b"1", b"the start"]
    await runtime.remove(request.task_id, keep_logs=False)


def test_volumes_of_a_container_that_never_ran(tmp_path: Path) -> None:
    """They have the image's files first, as at a start, and what is copied into them is there at the start."""
    (tmp_path / "volume/_data").mkdir(parents=True)

    async def body(runtime: OciRuntime, ends: Ends, image: Image, files: ContainerFiles) -> None:
        image = replace(image, config=replace(image.config, volumes=("/anonymous/deep",)))
        (image.layers[0] / "data/of-image").write_text("1")
        container, mounts = new_id(), [Mount(type=Mount.VOLUME, source="v", target="/data")]
        volumes = {"/data": MountSource(tmp_path / "volume/_data", {}, "", populate=True)}
        await runtime.make_root(container, image, volatile=False)
        await runtime.record_volumes(container, image, ContainerSpec(mounts=mounts), volumes)
        await write(files, container, "/data", tar_with("put", b"2"))
        await write(files, container, "/anonymous/deep", tar_with("put", b"3"))
        assert sorted(each.name for each in (tmp_path / "volume/_data").iterdir()) == ["of-image", "put"]
        assert await changes(files, container) == {"/anonymous": "A", "/anonymous/deep": "A"}
        script = "cat /data/of-image /data/put /anonymous/deep/put"
        request = replace(run_of(image, container, script, mounts=mounts), volumes=volumes)
        assert await run_to_end(runtime, ends, request) == 0
        assert b"".join([line.data async for line in log_lines(runtime, container)]) == b"123"

    with_runtime(tmp_path, body)


def test_a_start_waits_for_the_copy_and_a_copy_for_the_end(tmp_path: Path) -> None:
    async def body(runtime: OciRuntime, ends: Ends, image: Image, files: ContainerFiles) -> None:
        container = new_id()
        await runtime.make_root(container, image, volatile=False)
        (image.layers[0] / "large").write_bytes(os.urandom(5_000_000))
        first, second = (files.read(ArchiveRequest(container=container, path="/large")) for _ in range(2))
        await anext(first)
        await anext(second)
        request = run_of(image, container, "echo run > /file; echo ready; sleep 1000")
        starting = asyncio.create_task(runtime.start(request))
        await asyncio.sleep(0.3)
        assert not starting.done()
        await first.aclose()
        assert sum([len(chunk.data) async for chunk in second]) > 5_000_000
        await starting
        async with aclosing(log_lines(runtime, request.task_id, follow=True)) as lines:
            assert (await anext(lines)).data == b"ready"
        third = files.read(ArchiveRequest(container=container, path="/large"))
        await anext(third)
        await runtime.signal(request.task_id, "SIGKILL")
        await ends.of(request.task_id)
        assert sum([len(chunk.data) async for chunk in third]) > 5_000_000, "it ended while it was copied"
        reading = asyncio.create_task(read(files, container, "/file"))
        await runtime.remove(request.task_id, keep_logs=False)
        assert await reading == {"file": b"run\n"}

    with_runtime(tmp_path, body)


def test_a_start_and_a_removal_end_copies_that_take_longer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(container_table, "COPY_SECONDS", 0.2)

    async def body(runtime: OciRuntime, ends: Ends, image: Image, files: ContainerFiles) -> None:
        container = new_id()
        await runtime.make_root(container, image, volatile=False)
        (image.layers[0] / "large").write_bytes(os.urandom(5_000_000))
        target = ArchiveRequest(container=container, path="/large")

        async def never() -> AsyncIterator[WriteArchiveRequest]:
            yield WriteArchiveRequest(target=ArchiveRequest(container=container, path="/tmp"))
            await asyncio.Event().wait()

        reading, writing = files.read(target), asyncio.create_task(files.write(never()))
        await anext(reading)
        request = run_of(image, container, "true")
        await runtime.start(request)
        for copy in (anext(reading), writing):
            with pytest.raises(Unavailable, match="the copy was ended"):
                await copy
        assert (await ends.of(request.task_id)).code == 0
        await runtime.remove(request.task_id, keep_logs=False)
        reading = files.read(target)
        await anext(reading)
        with pytest.raises(Unavailable, match="in use by a copy of its files"):
            await runtime.remove_root(container)
        with pytest.raises(Unavailable, match="the copy was ended"):
            await anext(reading)
        await runtime.remove_root(container)

    with_runtime(tmp_path, body)


def test_a_call_that_is_cancelled_ends_before_its_descriptors_are_closed(tmp_path: Path) -> None:
    async def body(runtime: OciRuntime, ends: Ends, image: Image, files: ContainerFiles) -> None:
        del ends
        container = new_id()
        await runtime.make_root(container, image, volatile=False)
        sent = asyncio.Event()

        async def messages() -> AsyncIterator[WriteArchiveRequest]:
            yield WriteArchiveRequest(target=ArchiveRequest(container=container, path="/tmp"))  # its own
            yield WriteArchiveRequest(data=tar_with("half", b"x" * 1_000_000)[:500_000])
            sent.set()
            await asyncio.Event().wait()

        writing = asyncio.create_task(files.write(messages()))
        await sent.wait()
        await asyncio.sleep(0.1)
        writing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await writing
        await runtime.remove_root(container)

    with_runtime(tmp_path, body)


def test_users_binds_and_read_only_roots_of_a_container_that_does_not_run(tmp_path: Path) -> None:
    for name in ("host/sub", "read-only"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "file").write_text("of the host")
    bind = Mount.BIND
    spec = ContainerSpec(
        user="app",
        read_only=True,
        mounts=[
            Mount(type=bind, source=str(tmp_path / "host"), target="/mnt/host"),
            Mount(type=bind, source=str(tmp_path / "read-only"), target="/mnt/host/sub", read_only=True),
            Mount(type=bind, source=str(tmp_path / "file"), target="/etc/of-host"),
            Mount(type=bind, source=str(tmp_path / "gone"), target="/gone"),
            Mount(type=Mount.VOLUME, source="nfs", target="/nfs"),
        ],
    )

    async def body(runtime: OciRuntime, ends: Ends, image: Image, files: ContainerFiles) -> None:
        del ends
        container = new_id()
        await runtime.make_root(container, image, volatile=False)
        volumes = {"/nfs": MountSource(tmp_path / "none", {"type": "nfs"}, "", populate=False)}
        await runtime.record_volumes(container, image, spec, volumes)
        await write(files, container, "/mnt/host", tar_with("put", b"1", uid=5), copy_owner=True)
        put = (tmp_path / "host/put").stat()
        assert (put.st_uid, put.st_gid) == (1000, 1000), "the container's user, by its accounts"
        assert await read(files, container, "/etc/of-host") == {"of-host": b"of the host"}
        for path in ("/mnt/host/sub", "/tmp", "/"):  # its own
            with pytest.raises(PermissionDenied, match="Read-only file system"):
                await write(files, container, path, tar_with("x", b""))
        for path in ("/gone", "/gone/x", "/nfs"):
            with pytest.raises(Refused, match=r"volume or directory of the host at '/(gone|nfs)'.*start it first"):
                await write(files, container, path, tar_with("x", b""))
            with pytest.raises(Refused, match="start it first"):
                await read(files, container, path)
        assert not (tmp_path / "gone").exists()

    with_runtime(tmp_path, body)
