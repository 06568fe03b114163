"""An image or a container whose /etc/passwd is a device, a FIFO, a file of the kernel, or has no end.

Bounds: none of them is opened, at most 1 MiB is read, and the error names the file.
"""

import asyncio
import ctypes
import os
import stat
from pathlib import Path

import pytest

from agent.runtime.oci_runtime import OciRuntime
from agent.runtime.rootfs.overlay_mount import read_in_root
from shoal.api.v1.streams_pb2 import ExecStart
from shoal.errors import InvalidInput
from tests.fakes.containers import build_image, real_runtime, shell

LARGEST = 1 << 20
_IN_OPEN, _IN_NONBLOCK = 0x20, os.O_NONBLOCK
_libc = ctypes.CDLL(None, use_errno=True)


def make(path: Path, kind: str) -> None:
    path.unlink(missing_ok=True)
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "block device":
        os.mknod(path, stat.S_IFBLK | 0o600, os.makedev(7, 250))
    elif kind == "character device":
        os.mknod(path, stat.S_IFCHR | 0o600, os.makedev(1, 5))
    elif kind == "endless":
        with path.open("wb") as file:
            file.truncate(1 << 40)
    else:
        path.symlink_to("passwd")


KINDS = ("fifo", "block device", "character device", "endless", "loop")


@pytest.mark.parametrize("kind", KINDS[:3])
def test_what_is_no_regular_file_is_not_opened(tmp_path: Path, kind: str) -> None:
    (tmp_path / "etc").mkdir()
    make(tmp_path / "etc/passwd", kind)
    watch = _libc.inotify_init1(_IN_NONBLOCK)
    assert _libc.inotify_add_watch(watch, os.fsencode(tmp_path / "etc/passwd"), _IN_OPEN) >= 0
    try:
        with pytest.raises(InvalidInput, match="cannot read /etc/passwd of the container: not a regular file"):
            read_in_root(tmp_path, "/etc/passwd")
        with pytest.raises(BlockingIOError):
            os.read(watch, 4096)
    finally:
        os.close(watch)


def test_files_of_the_kernel_are_not_read(tmp_path: Path) -> None:
    """/proc/kmsg is a regular file of no size; to read it takes the lines from the host's own log."""
    assert read_in_root(Path("/proc"), "kmsg") == ""


def test_no_more_than_a_mebibyte_is_read(tmp_path: Path) -> None:
    (tmp_path / "passwd").write_bytes(b"x" * LARGEST)
    assert len(read_in_root(tmp_path, "passwd")) == LARGEST
    (tmp_path / "passwd").write_bytes(b"x" * (LARGEST + 1))
    with pytest.raises(InvalidInput, match=f"larger than {LARGEST} bytes"):
        read_in_root(tmp_path, "passwd")


def test_containers_of_such_images_are_refused_at_start_and_at_exec(tmp_path: Path) -> None:
    async def run() -> None:
        async with real_runtime(tmp_path) as (runtime, _):
            image = build_image(tmp_path)
            lives = shell(image, "while :; do /bin/busybox sleep 1; done")
            await runtime.start(lives)
            for kind in SCRIPTS:  # the cgroup of devices lets it make none
                await replace_by(runtime, lives.task_id, kind)
                with pytest.raises(InvalidInput, match="cannot read /etc/passwd of the container"):
                    await runtime.start_exec(ExecStart(task=lives.task_id, args=["/bin/true"], user="app"))
            for kind in KINDS:
                make(image.layers[0] / "etc/passwd", kind)
                with pytest.raises(InvalidInput, match="cannot read /etc/passwd of the container"):
                    await runtime.start(shell(image, "true"))

    asyncio.run(run())


SCRIPTS = {
    "fifo": "/bin/busybox mkfifo /etc/passwd",
    "endless": "/bin/busybox truncate -s 100G /etc/passwd",
    "loop": "/bin/busybox ln -s passwd /etc/passwd",
}


async def replace_by(runtime: OciRuntime, task_id: str, kind: str) -> None:
    script = f"/bin/busybox rm -f /etc/passwd && {SCRIPTS[kind]}"
    done = await runtime.execute(task_id, ("/bin/sh", "-c", script))
    assert done.code == 0, done.output
