"""Starts of containers of one's own by an agent alone, from the assignment to the report, beside those of tasks.

    python tests/bench/bench_container_start.py [--count 30] [--rounds 3] [--at-once 50] [--json FILE]

The worker and the runtime are the agent's, the network and the managers are not there. Kinds alternate in the same
call, since only ratios hold on a noisy machine. A container is made first (image, root file system, volumes) and
reported as READY; its start begins then.
"""

import argparse
import asyncio
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from agent.runtime.open_runtime import RuntimeConfig, open_runtime
from agent.worker.container_runtime import Exit
from agent.worker.interfaces import Image, Report
from agent.worker.worker import Worker
from shoal.api.v1.container_pb2 import ContainerSpec
from shoal.api.v1.dispatcher_pb2 import Assignments
from shoal.api.v1.service_pb2 import NetworkAttachment, ServiceRevision, ServiceSpec, TaskTemplate
from shoal.api.v1.task_pb2 import Task, TaskState, TaskStatus
from shoal.ids import new_id
from tests.bench.bench_start import Steps
from tests.bench.rig.figures import Figure, p50, p99
from tests.fakes.containers import build_image, new_cgroup, wall_clock_ms
from tests.unit.agent_core.worker_rig import Machine

S = TaskState
SECONDS = 60.0
ENDS = (S.SHUTDOWN, S.FAILED, S.COMPLETE)
MAX_RATIO = 1.5
"""Of the start of one that is kept, against a service's task."""


@dataclass(frozen=True)
class Kind:
    """What is started: a service's task, or a container's run."""

    name: str
    kept: bool
    auto_remove: bool = False


TASK = Kind("task of a service", kept=False)
KEPT = Kind("container", kept=True)
PASSING = Kind("container, --rm", kept=True, auto_remove=True)
KINDS = (TASK, KEPT, PASSING)


class Reports(list[TaskStatus]):
    """What the agent reports, with the moment at which each task reached each state first."""

    def __init__(self) -> None:
        super().__init__()
        self.at: dict[tuple[str, int], float] = {}
        self._waiting: dict[tuple[str, int], asyncio.Event] = {}

    def append(self, status: TaskStatus) -> None:
        key = status.task_id, status.state
        self.at.setdefault(key, time.perf_counter())
        self._event(*key).set()
        if status.state == S.REJECTED:
            raise RuntimeError(status.message)

    async def of(self, task_id: str, state: int) -> float:
        """The moment, awaited."""
        async with asyncio.timeout(SECONDS):
            await self._event(task_id, state).wait()
        return self.at[task_id, state]

    def has_ended(self, task_id: str) -> bool:
        """Whether it was reported in a final state."""
        return any((task_id, state) in self.at for state in ENDS)

    def _event(self, task_id: str, state: int) -> asyncio.Event:
        return self._waiting.setdefault((task_id, state), asyncio.Event())


class OneImage:
    """The images of a host that has one."""

    lacks_space = False

    def __init__(self, image: Image) -> None:
        self._image = image

    async def ensure(self, reference: str, report: Report) -> Image:
        """As `Images.ensure`."""
        del reference, report
        return self._image

    async def collect_garbage(self, used: frozenset[str]) -> None:
        """As `Images.collect_garbage`."""


@dataclass
class Measured:
    """Seconds: to READY, from there to RUNNING (of a task: of all), of the whole, of many at once."""

    made: list[float] = field(default_factory=list)
    started: list[float] = field(default_factory=list)
    whole: list[float] = field(default_factory=list)
    again: list[float] = field(default_factory=list)
    at_once: list[float] = field(default_factory=list)


class Bench:
    """One agent, to which assignments are given as a manager gives them."""

    def __init__(self, worker: Worker, reports: Reports) -> None:
        self._worker = worker
        self._reports = reports
        self._sequence = 0

    def assign(self, tasks: Iterable[Task], containers: Sequence[str] = ()) -> float:
        """A snapshot; when it was given."""
        listed = list(tasks)
        container = ContainerSpec(image="busybox:test", command=["/bin/sleep", "1000"])
        template = TaskTemplate(container=container, networks=[NetworkAttachment(network="none")])
        template.limits.memory_bytes = 64 << 20
        revisions = [
            ServiceRevision(service_id=service, number=1, spec=ServiceSpec(name="bench", task=template))
            for service in {task.service_id for task in listed}
        ]
        message = Assignments(
            snapshot=True, tasks=listed, revisions=revisions, containers=containers, lists_containers=True
        )
        began = time.perf_counter()
        self._worker.receive(message)
        return began

    async def run(self, kind: Kind, count: int) -> tuple[list[float], list[float], float]:
        """Start so many at once, and remove them: seconds to READY, from there to RUNNING, and of the whole."""
        tasks = [new_task(kind) for _ in range(count)]
        containers = [task.container_id for task in tasks if task.container_id]
        began = created = self.assign(tasks, containers)
        made = []
        if kind.kept:
            made = [await self._reports.of(task.id, S.READY) - created for task in tasks]
            for task in tasks:
                task.desired_state = S.RUNNING
            began = self.assign(tasks, containers)
        started = [await self._reports.of(task.id, S.RUNNING) - began for task in tasks]
        whole = (max(made) if made else 0.0) + max(started)
        await self._end(tasks, containers)
        if kind.kept:
            self.assign((), ())
        return made, started, whole

    async def again(self, count: int) -> list[float]:
        """Later starts of a container that is kept: seconds to RUNNING."""
        first = new_task(KEPT, S.RUNNING)
        taken = []
        for _ in range(count + 1):
            task = Task()
            task.CopyFrom(first)
            task.id = new_id()
            began = self.assign([task], [first.container_id])
            taken.append(await self._reports.of(task.id, S.RUNNING) - began)
            await self._end([task], [first.container_id])
        self.assign((), ())
        return taken[1:]

    async def _end(self, tasks: list[Task], containers: Sequence[str]) -> None:
        for task in tasks:
            task.desired_state, task.withdrawn = S.SHUTDOWN, True
            task.stop.signal = "SIGKILL"
        self.assign(tasks, containers)
        for task in tasks:
            await until(partial(self._reports.has_ended, task.id))
        self.assign((), containers)
        await until(lambda: not any(self._worker.knows(task.id) for task in tasks))


async def until(condition: Callable[[], bool]) -> None:
    """Poll; nothing is measured meanwhile."""
    async with asyncio.timeout(SECONDS):
        while not condition():  # noqa: ASYNC110  # there is no event for it
            await asyncio.sleep(0.01)


def new_task(kind: Kind, desired: TaskState.ValueType = S.READY) -> Task:
    """Assigned to the node."""
    owner = new_id()
    task = Task(id=new_id(), service_id=owner, revision=1, slot=1, node_id="n", auto_remove=kind.auto_remove)
    task.state, task.desired_state = S.ASSIGNED, desired if kind.kept else S.RUNNING
    if kind.kept:
        task.container_id = owner
    return task


async def measure(directory: Path, count: int, rounds: int, at_once: int) -> tuple[dict[str, Measured], Steps]:
    """Seconds by kind, and by step of kept ones."""
    image, machine, steps, reports = build_image(directory), Machine(directory), Steps(), Reports()
    config = RuntimeConfig(directory / "state", directory / "run", new_cgroup())
    measured = {kind.name: Measured() for kind in KINDS}
    parts: Any = machine

    def exited(task_id: str, end: Exit) -> None:
        if machine.worker is not None:
            machine.worker.exited(task_id, end)

    async with AsyncExitStack() as stack:
        runtime = await stack.enter_async_context(
            open_runtime(config, on_exit=exited, clock=wall_clock_ms, on_step=steps)
        )
        stack.push_async_callback(runtime.reset)
        parts.runtime, parts.images, parts.reports = runtime, OneImage(image), reports
        bench = Bench(await stack.enter_async_context(machine.agent()), reports)
        for kind in KINDS:
            await bench.run(kind, 3)
        for _ in range(rounds):
            for _ in range(count):
                for kind in KINDS:
                    steps.enabled = kind is KEPT
                    made, started, whole = await bench.run(kind, 1)
                    found = measured[kind.name]
                    found.made += made
                    found.started += started
                    found.whole.append(whole)
            steps.enabled = False
            measured[KEPT.name].again += await bench.again(count)
            for kind in KINDS:
                measured[kind.name].at_once.append((await bench.run(kind, at_once))[2])
    return measured, steps


def as_figures(count: int = 20, rounds: int = 2, at_once: int = 50) -> list[Figure]:
    """The figures, those of a kept container with a target."""
    with tempfile.TemporaryDirectory(prefix="shoal-bench-") as directory:
        measured, steps = asyncio.run(measure(Path(directory), count, rounds, at_once))
    found = []
    for name, seconds in measured.items():
        if seconds.made:
            found.append(Figure(f"{name}: made, p50", p50(seconds.made) * 1e3, "ms", scope="agent"))
        found.append(Figure(f"{name}: started, p50", p50(seconds.started) * 1e3, "ms", scope="agent"))
        found.append(Figure(f"{name}: started, p99", p99(seconds.started) * 1e3, "ms", scope="agent"))
        if seconds.again:
            found.append(Figure(f"{name}: started again, p50", p50(seconds.again) * 1e3, "ms", scope="agent"))
        found.append(Figure(f"{name}: {at_once} at once", min(seconds.at_once), "s", scope="agent"))
    ratio = p50(measured[KEPT.name].started) / p50(measured[TASK.name].started)
    found.append(
        Figure("start of a container, against a task's", ratio, "of its time", at_most=MAX_RATIO, scope="agent")
    )
    for name, values in steps.seconds.items():
        found.append(Figure(f"  {name}, p50", statistics.median(values) * 1e3, "ms", scope="runtime"))
    return found


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=30, help="starts of each kind in a round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--at-once", type=int, default=50, help="containers that are started together")
    parser.add_argument("--json", type=Path, help="write the figures to this file too")
    arguments = parser.parse_args()
    figures = as_figures(arguments.count, arguments.rounds, arguments.at_once)
    for each in figures:
        print(f"{each.name:44}{each.value:10.2f} {each.unit}")
    if arguments.json:
        arguments.json.write_text(json.dumps([each.as_dict() for each in figures], indent=2) + "\n")


if __name__ == "__main__":
    main()
