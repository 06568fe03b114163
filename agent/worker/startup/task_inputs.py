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
    """Files and volumes for a `ContainerRequest`."""

    mounted_files: tuple[MountedFile, ...]
    volumes: Mapping[str, MountSource]


NO_INPUTS = TaskInputs((), {})
"""After the start, successful or not."""


async def gather_inputs(
    deps: RunnerDependencies, task: Task, container: ContainerSpec, report: Report, *, is_final: bool
) -> TaskInputs:
    """Gather all inputs, waiting for them and for disk space; what is missing is reported.

    Args:
        is_final: as in `DiskSpaceWaiter.run`.
    Raises:
        Unavailable: the disk fails. DiskFull: it is full. Refused: another volume's data is in a volume's place.
    """
    mounted = await deps.contents.wait_for_files(container, report)
    # The last step: nothing may wait between this and the moment when the volumes count as used by the task.
    ready = partial(deps.volumes.prepare, container, task.slot, report)
    return TaskInputs(mounted, await deps.disk_waiter.run(ready, report, is_final=is_final))


def volumes_of(revision: ServiceRevision | None) -> frozenset[str]:
    """Ids of the volumes that a revision mounts."""
    mounts = revision.spec.task.container.mounts if revision is not None else ()
    return frozenset(mount.source for mount in mounts if mount.type == Mount.VOLUME)
