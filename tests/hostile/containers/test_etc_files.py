"""A container that writes to its /etc/hosts without end: it fills a tmpfs of its own.

Bound: less than 2 MiB of memory, none of it where the bundles of all containers lie.
"""

import asyncio
import os
from pathlib import Path

from shoal.api.v1.meta_pb2 import Resources
from tests.fakes.containers import build_image, log_lines, real_runtime, shell

MOST = 2 << 20
FILES = {"/etc/hosts": b"127.0.0.1\tlocalhost\n", "/etc/hostname": b"web\n", "/etc/resolv.conf": b""}
SCRIPT = "cat /etc/hosts; yes > /etc/hosts; /bin/busybox wc -c < /etc/hosts"


def used(directory: Path) -> int:
    usage = os.statvfs(directory)
    return (usage.f_blocks - usage.f_bfree) * usage.f_frsize


def test_what_is_written_to_them_ends_and_fills_nothing_else(tmp_path: Path) -> None:
    async def run() -> None:
        async with real_runtime(tmp_path) as (runtime, ends):
            limits = Resources(memory_bytes=64 << 20)
            request = shell(build_image(tmp_path), SCRIPT, files=FILES, limits=limits)
            await runtime.start(request)
            end = await ends.of(request.task_id)
            assert (end.code, end.oom_killed) == (0, False)
            said = [record.data async for record in log_lines(runtime, request.task_id)]
            assert said[0] == b"127.0.0.1\tlocalhost"
            assert (1 << 20) <= int(said[-1]) < MOST
            assert used(tmp_path / "run") < MOST

    asyncio.run(run())
