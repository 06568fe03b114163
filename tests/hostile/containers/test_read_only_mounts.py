"""A container that writes where something is mounted below a read-only mount of its own.

Bound: it writes nothing there, by either OCI runtime, unless the service asks for that.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from agent.runtime.kernel.linux import mount, unmount
from shoal.api.v1.container_pb2 import Mount
from tests.fakes.containers import Ends, build_image, log_lines, new_cgroup, open_test_runtime, shell

SCRIPT = "echo x > /d/file || echo kept; echo x > /d/below/file || echo kept below; ls /d/below"
EXPECTED = {
    "": [b"kept", b"kept below", b"theirs"],
    "readonly": [b"kept", b"kept below", b"theirs"],
    "writable": [b"kept", b"file", b"theirs"],
    "disabled": [b"kept", b"kept below"],
}


@contextmanager
def mounted_below(source: Path) -> Iterator[Path]:
    below = source / "below"
    below.mkdir(parents=True)
    mount("none", str(below), "tmpfs", 0, "size=64k")
    try:
        (below / "theirs").touch()
        yield below
    finally:
        unmount(below)


@pytest.mark.parametrize("program", ["crun", "runc"])
def test_what_is_mounted_below_is_read_only_too(tmp_path: Path, program: str) -> None:
    async def run(source: Path) -> None:
        ends, image = Ends(), build_image(tmp_path)
        async with open_test_runtime(tmp_path, ends, new_cgroup(), programs=[program]) as runtime:
            try:
                for recursive, expected in EXPECTED.items():
                    bind = Mount(type=Mount.BIND, source=str(source), target="/d", read_only=True, recursive=recursive)
                    request = shell(image, f"({SCRIPT}) 2>/dev/null", mounts=[bind])
                    await runtime.start(request)
                    await ends.of(request.task_id)
                    assert [record.data async for record in log_lines(runtime, request.task_id)] == expected, recursive
            finally:
                await runtime.reset()

    with mounted_below(tmp_path / "source") as below:
        asyncio.run(run(tmp_path / "source"))
        assert sorted(each.name for each in below.iterdir()) == ["file", "theirs"]


@pytest.mark.parametrize("program", ["crun", "runc"])
def test_a_single_file_is_mounted_read_only(tmp_path: Path, program: str) -> None:
    async def run(source: Path) -> None:
        ends, image = Ends(), build_image(tmp_path)
        async with open_test_runtime(tmp_path, ends, new_cgroup(), programs=[program]) as runtime:
            try:
                bind = Mount(type=Mount.BIND, source=str(source), target="/conf", read_only=True)
                request = shell(image, "(echo x > /conf || cat /conf) 2>/dev/null", mounts=[bind])
                await runtime.start(request)
                await ends.of(request.task_id)
                assert [record.data async for record in log_lines(runtime, request.task_id)] == [b"mine"]
            finally:
                await runtime.reset()

    source = tmp_path / "conf"
    source.write_text("mine\n")
    asyncio.run(run(source))
