"""What an image declares as VOLUME is a volume of each container's own, and goes with it."""

import asyncio
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from agent.runtime.oci_runtime import OciRuntime
from agent.worker.interfaces import Image
from shoal.api.v1.container_pb2 import Mount
from tests.fakes.containers import Ends, build_image, log_lines, real_runtime, shell


async def output(
    runtime: OciRuntime, ends: Ends, image: Image, script: str, mounts: Sequence[Mount] = (), *, read_only: bool = False
) -> list[str]:
    request = shell(image, script, mounts=list(mounts))
    request.spec.read_only = read_only
    await runtime.start(request)
    await ends.of(request.task_id)
    lines = [record.data.decode() async for record in log_lines(runtime, request.task_id)]
    await runtime.remove(request.task_id, keep_logs=False)
    return lines


def test_volumes_of_the_image_are_each_containers_own(tmp_path: Path) -> None:
    async def body(runtime: OciRuntime, ends: Ends) -> None:
        image = build_image(tmp_path)
        layer = image.layers[0]
        (layer / "data/file").write_text("of the image\n")
        os.chown(layer / "data", 1000, 1000)
        (layer / "data").chmod(0o750)
        volumes = ("/data", "/new//dir/", "/", "/data/")
        image = replace(image, config=replace(image.config, volumes=volumes))
        script = (
            "grep -c -e ' /data ' -e ' /new/dir ' /proc/self/mountinfo; cat /data/file; ls -dn /data; "
            "echo mine > /data/own && echo mine > /new/dir/own; ls /data"
        )
        for _ in range(2):  # the second one finds nothing of the first
            lines = await output(runtime, ends, image, script, read_only=True)
            assert lines[:2] == ["2", "of the image"]
            assert [lines[2].split()[place] for place in (0, 2, 3)] == ["drwxr-x---", "1000", "1000"]
            assert lines[3:] == ["file", "own"]
        unnamed = Mount(type=Mount.VOLUME, target="/own")
        assert await output(runtime, ends, image, "grep -c ' /own ' /proc/self/mountinfo", [unnamed]) == ["1"]
        bound = Mount(type=Mount.TMPFS, target="/data/")
        assert await output(runtime, ends, image, "ls /data", [bound]) == [], "what the spec says comes first"

    async def run() -> None:
        async with real_runtime(tmp_path) as (runtime, ends):
            await body(runtime, ends)
        left = [path for path in tmp_path.rglob("own") if "trash" not in path.parts]
        assert left == []

    asyncio.run(run())
