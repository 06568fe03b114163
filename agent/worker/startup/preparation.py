"""What a task's container is started from: image, volumes, files, a container's root file system, and the network.

It is lost with this process; each step may be repeated.
"""

from collections.abc import Callable
from functools import partial

from agent.worker.container_runtime import Running
from agent.worker.interfaces import Image, Report
from agent.worker.root_origin import RootOrigin
from agent.worker.sandbox import Sandbox
from agent.worker.shared.disk_space_waiter import WaitCancelled, rejection_is_final
from agent.worker.shared.runner_dependencies import RunnerDependencies
from agent.worker.startup.container_request import is_volatile
from agent.worker.startup.container_start import start_container
from agent.worker.startup.network_attachment import attach_network, close_sandbox
from agent.worker.startup.start_measurements import start_step
from agent.worker.startup.task_inputs import NO_INPUTS, TaskInputs, gather_inputs
from shoal import image_reference
from shoal.api.v1.service_pb2 import ServiceRevision
from shoal.api.v1.task_pb2 import Task
from shoal.fault_points.injection import fault


class Preparation:
    """For one task."""

    def __init__(self, deps: RunnerDependencies) -> None:
        self._deps = deps
        self._image: Image | None = None
        self._inputs: TaskInputs | None = None
        self._made = False
        self._sandbox: Sandbox | None = None

    @property
    def is_made(self) -> bool:
        """Everything but the network is here."""
        return self._made

    @property
    def is_connected(self) -> bool:
        """The network is ready."""
        return self._sandbox is not None

    @property
    def uses_volumes(self) -> bool:
        """The volumes were prepared: they are mounted, or about to be."""
        return self._inputs is not None

    async def make(
        self,
        task: Task,
        revision: ServiceRevision,
        report: Report,
        use_image: Callable[[Image], None],
        *,
        digest: str = "",
    ) -> None:
        """Everything but the network.

        Args:
            use_image: takes the image as soon as it is here.
            digest: of the image that an earlier run of the task had; empty: there was none.
        Raises:
            As `Images.ensure`, `gather_inputs` and `Runtime.make_root` do.
        """
        if revision.spec.task.build_id:
            self._made = True
            return
        container, is_final = revision.spec.task.container, rejection_is_final(revision.spec.task.restart)
        report("pulling the image")
        reference = self._image_of(task, container.image, digest)
        with start_step("image"):
            image = await self._deps.images.ensure(reference, report, is_final=is_final)
        use_image(image)
        if task.container_id:
            origin = self._origin(revision, image)
            make = partial(
                self._deps.runtime.make_root, task.container_id, image, volatile=is_volatile(task), origin=origin
            )
            await self._deps.disk_waiter.run(make, report, is_final=is_final)
        self._image = image
        with start_step("files"):
            inputs = await gather_inputs(self._deps, task, container, report, is_final=is_final)
        if task.container_id:
            await self._deps.runtime.record_volumes(task.container_id, image, container, inputs.volumes)
        self._inputs = inputs
        self._made = True
        fault("agent.task.made")

    async def connect(self, task: Task, revision: ServiceRevision) -> None:
        """The network. Raises as `attach_network` does."""
        with start_step("network"):
            await self._attach(task, revision)

    async def _attach(self, task: Task, revision: ServiceRevision) -> None:
        await self._deps.datapath.wait_applied()
        async with self._deps.attach_slots:
            self._sandbox = await attach_network(self._deps, task, revision.spec.task)
        fault("agent.task.connected")

    async def start(
        self, task: Task, revision: ServiceRevision, *, report: Report, cancelled: WaitCancelled
    ) -> Running:
        """Start the container. As `start_container`; what was connected is closed in any case.

        The network of a build is only held.
        """
        assert self._sandbox is not None
        if revision.spec.task.build_id:
            sandbox, self._sandbox = self._sandbox, None
            return self._deps.build_sandboxes.hold(task.id, sandbox)
        assert self._image is not None and self._inputs is not None
        prepared = self._image, self._sandbox, self._inputs
        try:
            with start_step("container"):
                running = await start_container(
                    self._deps, task, revision, prepared, report=report, cancelled=cancelled
                )
            fault("agent.task.started")
            return running
        finally:
            self.close_sandbox()
            self._inputs = NO_INPUTS

    def close_sandbox(self) -> None:
        """Close the network's descriptor; the container's own processes keep it alive."""
        close_sandbox(self._sandbox)
        self._sandbox = None

    def _origin(self, revision: ServiceRevision, image: Image) -> RootOrigin:
        """Of a root file system that is made now."""
        assigned = self._deps.assigned
        return RootOrigin(
            epoch=assigned.epoch,
            revision=assigned.store_revision,
            name=revision.spec.name,
            image=f"{image.reference.partition('@')[0]}@{image.digest}",
            created_at_ms=self._deps.now_ms(),
        )

    def _image_of(self, task: Task, reference: str, digest: str) -> str:
        """The image that is below the container's root file system already, or that it ran before, whatever its tag
        means by now."""
        digest = (self._deps.runtime.kept_roots().get(task.container_id, "") if task.container_id else "") or digest
        return str(image_reference.parse(reference).with_digest(digest)) if digest else reference
