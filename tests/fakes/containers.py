"""What tests of the runtime need of the real world: an image made of the host's busybox, requests, a runtime's life."""

import asyncio
import os
import shutil
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

from agent.runtime.launch.optimizations import ALL_OPTIMIZATIONS, NO_OPTIMIZATIONS, Optimizations
from agent.runtime.oci_runtime import OciRuntime
from agent.runtime.open_runtime import RuntimeConfig, open_runtime
from agent.worker.container_runtime import ContainerRequest, Exit
from agent.worker.interfaces import Image, ImageConfig
from shoal.api.v1.container_pb2 import ContainerSpec
from shoal.api.v1.meta_pb2 import Resources
from shoal.api.v1.service_pb2 import LogConfig
from shoal.ids import new_id
from shoal.logs.log_lines import LogLine, parse_line

OPTIMIZATIONS_VARIABLE = "SHOAL_AGENT_RUNTIME_OPTIMIZATIONS"
"""The agent's option as a variable: "on", the default, or "off"."""

PROGRAMS: Sequence[str] = ("crun", "runc")
"""OCI runtimes of test runtimes, as an agent has them."""

_BUSYBOX = Path("/usr/bin/busybox")
_APPLETS = (
    "sh",
    "sleep",
    "cat",
    "echo",
    "true",
    "id",
    "env",
    "mount",
    "unshare",
    "hostname",
    "dd",
    "ls",
    "yes",
    "head",
    "mknod",
    "rm",
    "mkdir",
    "ip",
    "nc",
    "httpd",
)
_PASSWD = "root:x:0:0:root:/root:/bin/sh\napp:x:1000:1000:app:/home/app:/bin/sh\n"
_GROUP = "root:x:0:\napp:x:1000:\naudio:x:29:app\n"


def build_image(directory: Path) -> Image:
    """An image of one layer with busybox and two users, unpacked below `directory`."""
    layer = directory / "layer"
    for path in ("bin", "etc", "tmp", "root", "data"):
        (layer / path).mkdir(parents=True)
    shutil.copy(_BUSYBOX, layer / "bin/busybox")
    for name in _APPLETS:
        (layer / "bin" / name).symlink_to("busybox")
    (layer / "etc/passwd").write_text(_PASSWD)
    (layer / "etc/group").write_text(_GROUP)
    config = ImageConfig(command=("/bin/sh",), env=("IMAGE=yes",))
    return Image("busybox:test", "sha256:" + "0" * 64, config, (layer,))


def container_request(
    image: Image,
    *command: str,
    task_id: str = "",
    limits: Resources | None = None,
    log: LogConfig | None = None,
    netns_fd: int | None = None,
    files: Mapping[str, bytes] | None = None,
    **spec: Any,
) -> ContainerRequest:
    """A request with a new task id and nothing that was not asked for."""
    task_id = task_id or new_id()
    return ContainerRequest(
        task_id=task_id,
        name=f"web.1.{task_id}",
        spec=ContainerSpec(command=command, **spec),
        limits=limits or Resources(),
        log=log or LogConfig(),
        image=image,
        netns_fd=netns_fd,
        etc_files=files or {},
    )


def shell(image: Image, script: str, **more: Any) -> ContainerRequest:
    """A request that runs a shell script."""
    return container_request(image, "/bin/sh", "-c", script, **more)


def wall_clock_ms() -> int:
    """Milliseconds since the epoch."""
    return time.time_ns() // 1_000_000


class Ends:
    """An `OnExit` that remembers."""

    def __init__(self) -> None:
        self.reported: dict[str, list[Exit]] = {}
        self._events: dict[str, asyncio.Event] = {}

    def __call__(self, task_id: str, end: Exit) -> None:
        self.reported.setdefault(task_id, []).append(end)
        self._event(task_id).set()

    async def of(self, task_id: str) -> Exit:
        """The end of a task, awaited for a minute at most."""
        async with asyncio.timeout(60):
            await self._event(task_id).wait()
        return self.reported[task_id][0]

    def _event(self, task_id: str) -> asyncio.Event:
        return self._events.setdefault(task_id, asyncio.Event())


def optimizations_of_environment() -> Optimizations:
    """As the environment says for agents, so that all tests of the runtime run in both states."""
    return NO_OPTIMIZATIONS if os.environ.get(OPTIMIZATIONS_VARIABLE) == "off" else ALL_OPTIMIZATIONS


def new_cgroup() -> str:
    """A cgroup parent that nobody else has."""
    return f"/shoal-test-{new_id()}"


def open_test_runtime(
    directory: Path,
    ends: Ends,
    cgroup: str,
    *,
    programs: Sequence[str] = (),
    cdi_directories: Sequence[Path] = (),
    optimizations: Optimizations | None = None,
) -> AbstractAsyncContextManager[OciRuntime]:
    """A runtime below `directory`.

    Args:
        programs: OCI runtimes, the preferred first; none means `PROGRAMS`.
        optimizations: None: as `optimizations_of_environment`.
    """
    config = RuntimeConfig(
        directory / "state",
        directory / "run",
        cgroup,
        programs=programs or PROGRAMS,
        cdi_directories=cdi_directories,
        optimizations=optimizations or optimizations_of_environment(),
    )
    return open_runtime(config, on_exit=ends, clock=wall_clock_ms)


@asynccontextmanager
async def real_runtime(
    directory: Path, *, optimizations: Optimizations | None = None
) -> AsyncGenerator[tuple[OciRuntime, Ends]]:
    """A runtime of which nothing is left at the end."""
    ends = Ends()
    async with open_test_runtime(directory, ends, new_cgroup(), optimizations=optimizations) as runtime:
        try:
            yield runtime, ends
        finally:
            await runtime.reset()


async def log_lines(runtime: OciRuntime, task_id: str, *, follow: bool = False) -> AsyncGenerator[LogLine]:
    """What a container wrote, line by line."""
    async for found in runtime.logs(task_id, follow=follow):
        for row in found.data.splitlines():
            line = parse_line(row)
            assert line is not None, row
            yield line
