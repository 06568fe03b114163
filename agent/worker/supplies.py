"""What a task's container is given beside its image and its network: secrets, configs and volumes."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

from agent.worker.seams import MountedFile, Report, VolumeSource
from agent.worker.tools import Tools
from shoal.api.v1.container_pb2 import ContainerSpec, Mount
from shoal.api.v1.service_pb2 import ServiceRevision
from shoal.api.v1.task_pb2 import Task


@dataclass(frozen=True)
class Supplies:
    """As `ContainerRequest` has them."""

    mounted: tuple[MountedFile, ...]
    volumes: Mapping[str, VolumeSource]


SPENT = Supplies((), {})
"""Of a container that has been started, or that could not be."""


async def gather(tools: Tools, task: Task, container: ContainerSpec, report: Report, *, is_final: bool) -> Supplies:
    """Everything, once it is here, and the disk has room for it; what is waited for is reported.

    Args:
        is_final: as `DiskRoom.attempt` has it.
    Raises:
        Unavailable: the disk refuses. DiskFull: it has no room. Refused: data of another volume lies where a volume
            is to be.
    """
    mounted = await tools.contents.arrived(container, report)
    # The last step, since nothing may wait between this and the moment when the task counts as having them.
    ready = partial(tools.volumes.ready, container, task.slot, report)
    return Supplies(mounted, await tools.room.attempt(ready, report, is_final=is_final))


def volumes_of(revision: ServiceRevision | None) -> frozenset[str]:
    """Ids of the volumes that a revision mounts."""
    mounts = revision.spec.task.container.mounts if revision is not None else ()
    return frozenset(mount.source for mount in mounts if mount.type == Mount.VOLUME)
