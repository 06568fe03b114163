"""A worker on fakes, that can be ended and started again on the same host."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from agent.files.file_contents import FileContents
from agent.health.probes import HealthProber
from agent.journal.journal import Journal
from agent.worker.container_runtime import Exit
from agent.worker.shared.build_sandboxes import BuildSandboxes
from agent.worker.shared.runner_dependencies import make_dependencies
from agent.worker.worker import Worker
from shoal.api.v1.container_pb2 import ContainerSpec
from shoal.api.v1.dispatcher_pb2 import Assignments, NetworkAssignment
from shoal.api.v1.meta_pb2 import Resources
from shoal.api.v1.service_pb2 import Endpoint, ServiceRevision, ServiceSpec, TaskTemplate
from shoal.api.v1.task_pb2 import Task, TaskAddress, TaskPort, TaskState, TaskStatus
from shoal.spec_templates import NodeValues
from tests.fakes.container_access import ContainersToProbe
from tests.fakes.csi_mounter import host_volumes
from tests.fakes.networks import FakeNetworks
from tests.fakes.pulled_images import PulledImages
from tests.fakes.runtime import Behaviour, FakeRuntime

BEHAVIOURS: dict[tuple[str, ...], Behaviour] = {
    ("polite",): Behaviour(on_signal={"SIGTERM": 0, "SIGQUIT": 7}),
    ("brief",): Behaviour(exits_with=0),
    ("fails",): Behaviour(exits_with=3),
    ("missing",): Behaviour(missing=True),
}
TIMEOUT_SECONDS = 100.0


class Machine:
    """A host: its disk, its containers, its network.

    Attributes:
        reports: every status, in order.
        process: the last agent's.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.worker: Worker | None = None
        self.runtime = FakeRuntime(self._exited, self.now_ms, BEHAVIOURS)
        self.images = PulledImages()
        self.probed = ContainersToProbe()
        self.networks = FakeNetworks()
        self.reports: list[TaskStatus] = []
        self.of_disk: list[str] = []
        self.of_images_disk: list[str] = []
        self.of_containers_disk: list[str] = []
        self.lacks_space = False
        self.boot_id = "first"
        self.stores = True
        self.process: asyncio.Task[None] | None = None

    def now_ms(self) -> int:
        return int(asyncio.get_running_loop().time() * 1000)

    def journal(self) -> Journal:
        """Of the agent's next process."""
        return Journal(self.directory / "journal")

    def resolv_conf(self) -> str:
        """The host's own."""
        return "nameserver 192.0.2.53\n"

    def _exited(self, task_id: str, end: Exit) -> None:
        if self.worker is not None:
            self.worker.exited(task_id, end)

    def last(self, task_id: str) -> TaskStatus:
        """The newest report on a task."""
        return next(status for status in reversed(self.reports) if status.task_id == task_id)

    def states(self, task_id: str) -> list[int]:
        """States reported of a task, each once."""
        return list(dict.fromkeys(status.state for status in self.reports if status.task_id == task_id))

    async def until(self, task_id: str, state: TaskState.ValueType) -> TaskStatus:
        """Wait for a report."""
        await self.until_true(lambda: any(s.task_id == task_id and s.state == state for s in self.reports))
        return self.last(task_id)

    async def until_true(self, condition: Callable[[], bool]) -> None:
        """Poll, in virtual time."""
        async with asyncio.timeout(TIMEOUT_SECONDS):
            while not condition():  # noqa: ASYNC110  # the clock is virtual
                await asyncio.sleep(0.01)

    def _reported(self, status: TaskStatus) -> None:
        self.reports.append(status)
        if self.worker is not None and self.stores:
            asyncio.get_running_loop().call_soon(self.worker.stored, status)

    @asynccontextmanager
    async def agent(self, *, connected: bool = True) -> AsyncGenerator[Worker]:
        """The agent's process; it ends as by SIGTERM.

        Args:
            connected: a manager is in reach, which stores what is reported.
        """
        contents = FileContents()
        journal = self.journal()
        disks = {"journal": self.of_disk, "images": self.of_images_disk, "containers": self.of_containers_disk}
        deps = make_dependencies(
            node=NodeValues("n", "host-n"),
            prober=HealthProber(containers=self.probed),
            runtime=self.runtime,
            images=self.images,
            networks=self.networks,
            journal=journal,
            contents=contents,
            volumes=host_volumes(self.directory / "volumes", self.now_ms, contents=contents),
            build_sandboxes=BuildSandboxes(self._exited, self.now_ms),
            report=self._reported,
            now_ms=self.now_ms,
            host_resolv_conf=self.resolv_conf,
            set_problem=lambda disk, problem: disks[disk].append(problem),
            lacks_space=lambda: self.lacks_space,
        )
        worker = self.worker = Worker(deps, images=self.images, journal=journal, boot_id=self.boot_id)
        await worker.recover()
        if connected:
            worker.set_connected(True)
        running = self.process = asyncio.create_task(worker.run())
        try:
            yield worker
            if running.done():
                running.result()
        finally:
            self.worker = None
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)


def task(
    task_id: str,
    *,
    desired: TaskState.ValueType = TaskState.RUNNING,
    service: str = "polite",
    drained: bool = True,
    addresses: Sequence[str] = ("10.0.0.7",),
    ports: Sequence[int] = (),
) -> Task:
    """A task of the service that runs the command of this name. One that is to stop has been withdrawn everywhere."""
    places = [TaskAddress(network_id="net", address=address) for address in addresses]
    record = Task(id=task_id, service_id=service, revision=1, slot=1, node_id="n", addresses=places)
    record.ports.extend(TaskPort(protocol=1, target=80, published=port) for port in ports)
    record.state, record.desired_state = TaskState.ASSIGNED, desired
    record.withdrawn = drained and desired > TaskState.RUNNING
    return record


def revision(
    service: str = "polite",
    *,
    grace_ms: int = 5_000,
    stop_signal: str = "",
    drain_ms: int | None = None,
    mode: Endpoint.Mode.ValueType = Endpoint.VIP,
) -> ServiceRevision:
    """A revision whose container runs the command of this name."""
    container = ContainerSpec(image="hello:1", command=[service], stop_grace_ms=grace_ms, stop_signal=stop_signal)
    if drain_ms is not None:
        container.drain_ms = drain_ms
    template = TaskTemplate(container=container, limits=Resources(memory_bytes=64 << 20))
    spec = ServiceSpec(name=service, task=template, endpoint=Endpoint(mode=mode))
    return ServiceRevision(service_id=service, number=1, spec=spec)


def assign(*tasks: Task, revisions: tuple[ServiceRevision, ...] = (), snapshot: bool = True) -> Assignments:
    """A message with tasks, the revisions that they run, and their network."""
    known = revisions or tuple(revision(name) for name in dict.fromkeys(task.service_id for task in tasks))
    networks = [NetworkAssignment(network_id="net", name="front", subnet="10.0.0.0/24")]
    return Assignments(snapshot=snapshot, tasks=tasks, revisions=known, networks=networks)
