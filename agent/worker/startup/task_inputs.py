"""Secrets, configs and volumes of a task's container."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

from agent.worker.interfaces import MountedFile, MountSource, Report
from agent.worker.shared.runner_dependencies import RunnerDependencies
from shoal.api.v1.container_pb2 import ContainerSpec, Mount
from shoal.api.v1.service_pb2 import ServiceRevision
from shoal.api.v1.task_pb2 import Task


@dataclass(frozen=True)
class TaskInputs:
    """As `ContainerRequest` has them."""

    mounted_files: tuple[MountedFile, ...]
    volumes: Mapping[str, MountSource]


NO_INPUTS = TaskInputs((), {})
"""Of a container that has been started, or that could not be."""


async def gather_inputs(
    deps: RunnerDependencies, task: Task, container: ContainerSpec, report: Report, *, is_final: bool
) -> TaskInputs:
    """Everything, once it is here, and the disk has room for it; what is waited for is reported.

    Args:
        is_final: as `DiskRoom.attempt` has it.
    Raises:
        Unavailable: the disk refuses. DiskFull: it has no room. Refused: data of another volume lies where a volume
            is to be.
    """
    mounted = await deps.contents.wait_for_files(container, report)
    # The last step, since nothing may wait between this and the moment when the task counts as having them.
    ready = partial(deps.volumes.prepare, container, task.slot, report)
    return TaskInputs(mounted, await deps.disk_waiter.run(ready, report, is_final=is_final))


def volumes_of(revision: ServiceRevision | None) -> frozenset[str]:
    """Ids of the volumes that a revision mounts."""
    mounts = revision.spec.task.container.mounts if revision is not None else ()
    return frozenset(mount.source for mount in mounts if mount.type == Mount.VOLUME)
