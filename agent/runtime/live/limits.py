"""Changes the limits of a running container by the OCI runtime's `update`."""

import asyncio
import contextlib
import json
import os
import tempfile

from agent.runtime.container_paths import ContainerPaths, ContainerRecord
from agent.runtime.exec.exec_thread import ExecThread
from agent.runtime.kernel.cgroups import Cgroups
from agent.runtime.launch.start_errors import disk_failures
from agent.runtime.spec.oci_resources import DEFAULT_PIDS, UNLIMITED, resources_section
from agent.runtime.spec.oci_spec import HostFacts
from shoal.api.v1.container_pb2 import ContainerSpec
from shoal.api.v1.meta_pb2 import Resources
from shoal.errors import Unavailable

_SECONDS = 20.0
_MAX_MESSAGE = 4096


class LiveLimits:
    """Of containers of one runtime.

    Args:
        host: what its kernel supports.
    """

    def __init__(self, *, paths: ContainerPaths, cgroups: Cgroups, exec_thread: ExecThread, host: HostFacts) -> None:
        self._paths = paths
        self._cgroups = cgroups
        self._exec_thread = exec_thread
        self._host = host

    async def apply(self, record: ContainerRecord, spec: ContainerSpec, limits: Resources) -> None:
        """As `Runtime.set_limits`."""
        section = live_section(spec, limits, self._host)
        with disk_failures():
            code, message = await self._update(record, section)
        if code:
            line = " ".join(message.decode(errors="replace").split())[-300:]
            raise Unavailable(
                f"the limits of task {record.task_id} could not be changed: {line or f'exit code {code}'}"
            )

    async def _update(self, record: ContainerRecord, section: dict[str, dict[str, object]]) -> tuple[int, bytes]:
        if "quota" not in section["cpu"]:  # crun 1.8 writes -1, no limit, as a number without sign
            await asyncio.to_thread(self._cgroups.remove_cpu_quota, record.task_id)
        with tempfile.NamedTemporaryFile("w", dir=self._paths.bundle(record.task_id), suffix=".json") as file:
            json.dump(section, file)
            file.flush()
            return await self._run(record, ["update", "--resources", file.name])

    async def _run(self, record: ContainerRecord, options: list[str]) -> tuple[int, bytes]:
        read_end, write_end = os.pipe2(os.O_CLOEXEC)
        try:
            null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
            try:
                descriptors = [(null, 0), (null, 1), (write_end, 2)]
                child = await self._exec_thread.spawn_exec(record, options, descriptors)
            finally:
                os.close(null)
                os.close(write_end)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_SECONDS):
                    await child.wait()
            code = await self._exec_thread.terminate(child, user_exec=True)
            os.set_blocking(read_end, False)
            with contextlib.suppress(BlockingIOError):
                return code, os.read(read_end, _MAX_MESSAGE)
            return code, b""
        finally:
            os.close(read_end)


def live_section(spec: ContainerSpec, limits: Resources, host: HostFacts) -> dict[str, dict[str, object]]:
    """The resources of a runtime spec that can change while a container runs; what has no limit says so, but for the
    quota of processor time. Pure.

    Raises:
        InvalidInput: as `resources_section`.
    """
    section = resources_section(
        spec, limits, (), swap_accounting=host.swap_accounting, cgroup_version=host.cgroup_version
    )
    memory, cpu = section.get("memory", {}), section.get("cpu", {})
    if "limit" not in memory:
        memory = {**memory, "limit": UNLIMITED, **({"swap": UNLIMITED} if host.swap_accounting else {})}
    pids = UNLIMITED if limits.pids == UNLIMITED else limits.pids or DEFAULT_PIDS
    # What cannot change meanwhile: devices, block I/O, and whether the OOM killer runs.
    memory = {name: value for name, value in memory.items() if name != "disableOOMKiller"}
    return {"memory": memory, "cpu": cpu, "pids": {"limit": pids}}
