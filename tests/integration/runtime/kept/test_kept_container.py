"""A container on the real runtime by a worker: created, started, paused, limited, stopped, started again, removed."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from agent.runtime.oci_runtime import OciRuntime
from agent.worker.container_runtime import Exit
from agent.worker.interfaces import Image, Report
from agent.worker.worker import Worker
from shoal.api.v1.container_pb2 import ContainerSpec
from shoal.api.v1.dispatcher_pb2 import Assignments
from shoal.api.v1.service_pb2 import NetworkAttachment, ServiceRevision, ServiceSpec, TaskTemplate
from shoal.api.v1.standalone_pb2 import ContainerStop
from shoal.api.v1.task_pb2 import Task, TaskState
from shoal.ids import new_id
from tests.fakes.containers import Ends, build_image, log_lines, new_cgroup, open_test_runtime
from tests.unit.agent_core.worker_rig import Machine

S = TaskState
BOX = new_id()
SCRIPT = "trap 'exit 7' HUP; echo run >> /runs; cat /runs; while :; do sleep 0.02; done"
pytestmark = pytest.mark.usefixtures("program")


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


class Host:
    """A host with a real runtime; each `agent` is the agent's next process."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.cgroup = new_cgroup()
        self.image = build_image(directory)
        self.machine = Machine(directory)
        self.store_revision = 0

    @asynccontextmanager
    async def agent(self) -> AsyncGenerator[tuple[Worker, OciRuntime]]:
        parts: Any = self.machine
        async with AsyncExitStack() as stack:
            runtime = await stack.enter_async_context(
                open_test_runtime(self.directory, ExitsTo(self.machine), self.cgroup)
            )
            parts.runtime, parts.images = runtime, OneImage(self.image)
            worker = await stack.enter_async_context(self.machine.agent())
            yield worker, runtime

    async def reset(self) -> None:
        """Leave nothing."""
        async with open_test_runtime(self.directory, Ends(), self.cgroup) as runtime:
            await runtime.recover()
            await runtime.reset()

    def assigned(self, *tasks: Task, containers: tuple[str, ...] = (BOX,), memory: int = 64 << 20) -> Assignments:
        """A snapshot, each of a later store than the one before."""
        self.store_revision += 1
        container = ContainerSpec(image="busybox:test", command=["/bin/sh", "-c", SCRIPT])
        template = TaskTemplate(container=container, networks=[NetworkAttachment(network="none")])
        template.limits.memory_bytes = memory
        revisions = [
            ServiceRevision(service_id=BOX, number=number, spec=ServiceSpec(name="box", task=template))
            for number in {task.revision for task in tasks}
        ]
        return Assignments(
            snapshot=True,
            tasks=tasks,
            revisions=revisions,
            containers=containers,
            lists_containers=True,
            epoch="first",
            store_revision=self.store_revision,
        )


class ExitsTo(Ends):
    """Tells the worker of exits."""

    def __init__(self, machine: Machine) -> None:
        super().__init__()
        self._machine = machine

    def __call__(self, task_id: str, end: Exit) -> None:
        super().__call__(task_id, end)
        if self._machine.worker is not None:
            self._machine.worker.exited(task_id, end)


def run_of(task_id: str, desired: TaskState.ValueType, *, revision: int = 1, stop: str = "") -> Task:
    task = Task(id=task_id, service_id=BOX, revision=revision, slot=1, node_id="n", container_id=BOX)
    task.state, task.desired_state, task.withdrawn = S.ASSIGNED, desired, desired > S.RUNNING
    if stop:
        task.stop.CopyFrom(ContainerStop(signal=stop))
    return task


def test_from_its_creation_to_its_removal(tmp_path: Path) -> None:
    async def body(host: Host) -> None:
        first, second = new_id(), new_id()
        machine = host.machine
        async with asyncio.timeout(60):
            async with host.agent() as (worker, runtime):
                worker.receive(host.assigned(run_of(first, S.READY)))
                await machine.until(first, S.READY)
                assert runtime.kept_roots() == {BOX: host.image.digest}
            async with host.agent() as (worker, runtime):
                waiting = runtime.attach_at_start(BOX)
                output = waiting.output()
                worker.receive(host.assigned(run_of(first, S.RUNNING)))
                assert [piece async for piece in pieces_of(output, 1)] == [b"run\n"]
                await machine.until(first, S.RUNNING)
                await waiting.close()
                await worker.set_paused(first, True)
                assert machine.last(first).paused
            async with host.agent() as (worker, runtime):
                await asyncio.sleep(0.1)
                assert machine.last(first).state == S.RUNNING and machine.last(first).paused
                worker.receive(host.assigned(run_of(first, S.RUNNING, revision=2), memory=32 << 20))
                await asyncio.sleep(0.5)
                assert not machine.last(first).warning
                worker.receive(host.assigned(run_of(first, S.SHUTDOWN, revision=2, stop="SIGHUP")))
                assert (await machine.until(first, S.SHUTDOWN)).exit_code == 7
                worker.receive(host.assigned(run_of(second, S.RUNNING)))
                await machine.until(second, S.RUNNING)
                assert await lines_of(runtime, 3) == [b"run", b"run", b"run"], "one of the first run, two of the second"
            async with host.agent() as (worker, runtime):
                worker.receive(host.assigned(containers=()))
                await machine.until_true(lambda: second not in worker_tasks(worker))
                await machine.until_true(lambda: not runtime.kept_roots())

    host = Host(tmp_path)
    try:
        asyncio.run(body(host))
    finally:
        asyncio.run(host.reset())


async def pieces_of(output: AsyncGenerator[tuple[Any, bytes]], count: int) -> AsyncGenerator[bytes]:
    for _ in range(count):
        yield (await anext(output))[1]


async def lines_of(runtime: OciRuntime, count: int) -> list[bytes]:
    found: list[bytes] = []
    async for line in log_lines(runtime, BOX, follow=True):
        found.append(line.data)
        if len(found) == count:
            break
    return found


def worker_tasks(worker: Worker) -> set[str]:
    return {status.task_id for status in worker.statuses()}
