"""A process of the agent that makes a container, runs it, and removes it, and is killed at one step of that.

Arguments: directory, cgroup parent, container id, OCI runtime, and the fault: "<phase>:<step>", where the phases are
make, start, pause, commit, stop and remove. Without such a step it lives to its end and says so.
"""

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from agent.archives.container_files import ContainerFiles
from agent.runtime.kernel.cgroups import Cgroups
from agent.runtime.oci_runtime import OciRuntime
from agent.runtime.open_runtime import RuntimeConfig, open_runtime
from agent.runtime.supervision import container_removal
from agent.streams.copy_pause import CopyPause
from agent.worker.interfaces import Image, ImageConfig
from tests.fakes.containers import Ends, optimizations_of_environment, shell, wall_clock_ms

REMOVAL_STEPS = ("_kill_supervision", "_empty_cgroup", "_delete")
FIRST = "echo one >> /kept; echo first"
SECOND = "echo two >> /kept; echo second; trap 'exit 7' TERM; while :; do sleep 0.05; done"


class Faults:
    """Kills this process at a step of a phase."""

    def __init__(self, fault: str) -> None:
        self.phase = ""
        self._fault = fault

    def reached(self, name: str, _seconds: float = 0.0) -> None:
        if f"{self.phase}:{name}" == self._fault:
            os.kill(os.getpid(), signal.SIGKILL)

    def after(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, with a step at its end."""

        def call(*args: Any, **named: Any) -> Any:
            result = function(*args, **named)
            self.reached(name)
            return result

        return call


class ContainerRoots:
    """Opens root file systems for archives."""

    def __init__(self, runtime: OciRuntime) -> None:
        self.open_root, self.open_below = runtime.open_root, runtime.open_below


async def commit(runtime: OciRuntime, container: str, faults: Faults) -> None:
    """Read the layer that a commit is made of, as managers have the agent do it."""
    async with CopyPause(task_of=runtime.task_of, tasks=runtime).during(container):
        faults.reached("paused")
        async for _ in ContainerFiles(ContainerRoots(runtime)).layer(container):
            faults.reached("reading")
        faults.reached("read")
    faults.reached("end")


async def main(directory: Path, cgroup: str, container: str, program: str, fault: str) -> None:
    image = Image("busybox:test", "sha256:0", ImageConfig(), (directory / "layer",))
    faults, ends = Faults(fault), Ends()
    for name in REMOVAL_STEPS:
        setattr(container_removal, name, faults.after(name, getattr(container_removal, name)))
    for name in ("_write_freezer", "freeze", "thaw"):
        setattr(Cgroups, name, faults.after(name, getattr(Cgroups, name)))
    config = RuntimeConfig(
        directory / "state", directory / "run", cgroup, programs=[program], optimizations=optimizations_of_environment()
    )
    async with open_runtime(config, on_exit=ends, clock=wall_clock_ms, on_step=faults.reached) as runtime:
        await runtime.recover()
        faults.phase = "make"
        await runtime.make_root(container, image, volatile=False)
        faults.phase = ""
        first = replace(shell(image, FIRST), container_id=container, volatile=False)
        await runtime.start(first)
        await ends.of(first.task_id)
        await runtime.remove(first.task_id, keep_logs=True)
        faults.phase = "start"
        second = replace(shell(image, SECOND), container_id=container, volatile=False)
        await runtime.start(second)
        faults.reached("end")
        faults.phase = "pause"
        await runtime.set_paused(second.task_id, True)
        await runtime.set_paused(second.task_id, False)
        faults.reached("end")
        faults.phase = "commit"
        await commit(runtime, container, faults)
        faults.phase = "stop"
        while second.task_id not in ends.reported:
            await runtime.signal(second.task_id, "SIGTERM")
            faults.reached("signal")
            await asyncio.sleep(0.05)
        await ends.of(second.task_id)
        faults.reached("exit")
        await runtime.remove(second.task_id, keep_logs=True)
        faults.reached("end")
        faults.phase = "remove"
        await runtime.remove_root(container)
        faults.reached("end")
    print("alive", flush=True)


asyncio.run(main(Path(sys.argv[1]), *sys.argv[2:6]))
